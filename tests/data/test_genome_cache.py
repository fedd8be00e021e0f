import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

from dnafm.data import genome_cache as cache_module
from dnafm.data import open_genome, open_genomes

# Opens the files in turn when told to, the second half of them as if there were no locks.
RANK = """
import sys
from dnafm.data import genome_cache
def refuse(stream):
    raise OSError("no locks available")
print("ready", flush=True)
input()
for path in sys.argv[2:]:
    if path == sys.argv[2 + len(sys.argv[2:]) // 2]:
        genome_cache._lock = refuse
    print(genome_cache.open_genome(path, cache_dir=sys.argv[1]).codes.sum())
"""
# Writes one block, says so and hangs, as a process that is about to be killed.
HANG = """
import sys, time
from dnafm.data import genome_cache
def encode(path, write):
    write(b"\\5" * 100)
    print("writing", flush=True)
    time.sleep(60)
genome_cache.encode_fasta = encode
genome_cache.open_genome(sys.argv[1], cache_dir=sys.argv[2])
"""


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(b">one\nACGT\n>two\nggN\n")
    return path


@pytest.fixture
def cache_dir(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def encodings(monkeypatch):
    """The paths that were encoded, not read from the cache."""
    encoded = []

    def encode(path, write, original=cache_module.encode_fasta):
        encoded.append(path)
        return original(path, write)

    monkeypatch.setattr(cache_module, "encode_fasta", encode)
    return encoded


def suffixes(folder):
    return sorted(path.suffix for path in folder.iterdir())


def test_codes_are_a_read_only_map_of_all_sequences(fasta, cache_dir):
    """By hand: ACGT, then gg in lower case and N."""
    genome = open_genome(fasta, cache_dir=cache_dir)
    assert genome.codes.tolist() == [5, 7, 6, 8, 134, 134, 10]
    assert genome.codes.dtype == np.uint8
    assert not genome.codes.flags.writeable
    assert len(genome) == 7


def test_file_is_encoded_once(fasta, cache_dir, encodings):
    """The second opening reads the cache and gives the same."""
    assert open_genome(fasta, cache_dir=cache_dir) == open_genome(str(fasta), cache_dir=cache_dir)
    assert len(encodings) == 1


@pytest.mark.parametrize("change", ["content", "time", "version"])
def test_changed_file_is_encoded_again(fasta, cache_dir, encodings, monkeypatch, change):
    """Another size, time of modification or format of the cache is another entry."""
    open_genome(fasta, cache_dir=cache_dir)
    if change == "content":
        fasta.write_bytes(b">one\nACGTA\n")
    elif change == "time":
        os.utime(fasta, ns=(0, 0))
    else:
        monkeypatch.setattr(cache_module, "FORMAT_VERSION", -1)
    genome = open_genome(fasta, cache_dir=cache_dir)
    assert len(encodings) == 2
    assert len(genome) == (5 if change == "content" else 7)


@pytest.mark.parametrize("damage", ["short codes", "no codes", "cut index", "foreign index"])
def test_damaged_entry_is_encoded_again(fasta, cache_dir, encodings, damage):
    """What cannot be a whole entry is replaced."""
    codes = open_genome(fasta, cache_dir=cache_dir).codes.tolist()
    (codes_path,), (index_path,) = cache_dir.glob("*.codes"), cache_dir.glob("*.json")
    if damage == "short codes":
        codes_path.write_bytes(b"\5\5")
    elif damage == "no codes":
        codes_path.unlink()
    elif damage == "cut index":
        index_path.write_bytes(index_path.read_bytes()[:-9])
    else:
        index_path.write_text(json.dumps({"sequences": [{"chromosome": "one"}]}))
    assert open_genome(fasta, cache_dir=cache_dir).codes.tolist() == codes
    assert len(encodings) == 2


def test_killed_writer_leaves_nothing_that_is_trusted(fasta, cache_dir):
    """After SIGKILL in the middle of the codes the next process encodes anew and clears up."""
    command = [sys.executable, "-c", HANG, fasta, cache_dir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert suffixes(cache_dir) == [".lock", ".tmp"]
    assert len(open_genome(fasta, cache_dir=cache_dir)) == 7
    assert suffixes(cache_dir) == [".codes", ".json", ".lock"]


def test_concurrent_ranks_see_whole_genomes(tmp_path, cache_dir):
    """Two processes open the same ten files side by side: each sees all bases, and one entry of each file stays."""
    paths = [tmp_path / f"{i}.fa" for i in range(10)]
    for path in paths:
        path.write_text(">one\n" + "ACGT" * 100_000)
    command = [sys.executable, "-c", RANK, cache_dir, *paths]
    ranks = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(2)
    ]
    assert [rank.stdout.readline() for rank in ranks] == ["ready\n"] * 2
    for rank in ranks:
        rank.stdin.write("\n")
    printed = [rank.communicate(timeout=120)[0].split() for rank in ranks]
    # A=5 G=6 C=7 T=8
    assert printed == [["2600000"] * 10] * 2
    assert suffixes(cache_dir) == [".codes"] * 10 + [".json"] * 10 + [".lock"] * 10


def test_cache_works_on_file_systems_without_locks(fasta, cache_dir, monkeypatch):
    """The lock saves work only; without one the entry is as good, and nobody's files are removed."""

    def refuse(stream):
        raise OSError("no locks available")

    monkeypatch.setattr(cache_module, "_lock", refuse)
    cache_dir.mkdir()
    stem = cache_module._Entry.of_file(fasta.resolve(), cache_dir).stem
    of_other_rank = stem.with_name(stem.name + ".codes.0.tmp")
    of_other_rank.touch()
    assert len(open_genome(fasta, cache_dir=cache_dir)) == 7
    assert of_other_rank.exists()


def test_refused_file_leaves_no_entry(fasta, cache_dir):
    """A protein is an error at every opening, and no temporary file stays."""
    fasta.write_bytes(b">protein\nMKVL\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="is no nucleotide"):
            open_genome(fasta, cache_dir=cache_dir)
    assert suffixes(cache_dir) == [".lock"]


def test_file_that_changes_while_it_is_read_is_refused(fasta, cache_dir, monkeypatch):
    """An entry is never of two versions of a file."""

    def encode(path, write, original=cache_module.encode_fasta):
        sequences = original(path, write)
        os.utime(path, ns=(0, 0))
        return sequences

    monkeypatch.setattr(cache_module, "encode_fasta", encode)
    with pytest.raises(ValueError, match="the file changed while it was read"):
        open_genome(fasta, cache_dir=cache_dir)


def test_pickle_holds_no_bases(fasta, cache_dir):
    """A worker gets paths and index, and maps the file itself."""
    genome = open_genome(fasta, cache_dir=cache_dir)
    codes = genome.codes.tolist()
    copy = pickle.loads(pickle.dumps(genome))
    assert "codes" not in copy.__dict__
    assert copy.codes.tolist() == codes


def test_many_files_keep_their_order(fasta, cache_dir, tmp_path):
    """Genomes come in the order of the paths."""
    other = tmp_path / "other.fa"
    other.write_text(">x\nA\n")
    assert [len(genome) for genome in open_genomes([other, fasta, other], cache_dir=cache_dir)] == [1, 7, 1]


def test_default_cache_follows_xdg(fasta, tmp_path, monkeypatch):
    """XDG_CACHE_HOME decides, and the home folder where it is not set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert open_genome(fasta).codes_path.startswith(str(tmp_path / "xdg" / "dnafm" / "genomes"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_module.default_cache_dir() == tmp_path / ".cache" / "dnafm" / "genomes"
