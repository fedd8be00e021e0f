"""`dnafm embed` that is interrupted, killed, shared by ranks, or out of disk makes the same file in the end."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("pysam")

from forked_processes import kill_when, run_forked, run_on_two_ranks

from dnafm.analysis import embedding_runs
from dnafm.analysis.embedder import Embedder

# Rows of chunks that a test makes small.
N_RECORDS, CHUNK = 30, 8
DISK_FULL = """
import resource, sys
from dnafm.analysis import embedding_runs
from dnafm.cli.main import main

embedding_runs.CHUNK_SEQUENCES = 8

def embed(output, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    print(main(["embed", "many.fa", "-o", output]), flush=True)

for output in sys.argv[1:]:
    # Too little for a chunk; enough for chunks, and too little for the file; and enough.
    for limit in (4_000, 16_000, resource.RLIM_INFINITY):
        embed(output, limit)
"""


def write_records(path, n_records, longest_bp=40):
    """Write records of at least one base."""
    generator = random.Random(0)
    lines = [
        f">r{i}\n{''.join(generator.choices('ACGT', k=generator.randint(1, longest_bp)))}\n" for i in range(n_records)
    ]
    Path(path).write_text("".join(lines))


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A FASTA file of several small chunks, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedding_runs, "CHUNK_SEQUENCES", CHUNK)
    write_records("many.fa", N_RECORDS)
    return tmp_path


@pytest.fixture
def embedded(monkeypatch):
    """How many sequences each chunk had that was computed."""
    embed, sizes = Embedder.embed, []

    def counted(self, sequences):
        sequences = list(sequences)
        sizes.append(len(sequences))
        if len(sizes) == 3 and not embedded_whole[0]:
            raise KeyboardInterrupt
        return embed(self, sequences)

    embedded_whole = [True]
    monkeypatch.setattr(Embedder, "embed", counted)

    def interrupting():
        sizes.clear()
        embedded_whole[0] = False
        return sizes

    return interrupting


@pytest.mark.parametrize("extension", ["parquet", "safetensors", "npy", "h5ad", "tsv.gz"])
def test_interrupted_run_goes_on(many, dnafm, embedded, extension):
    """No finished chunk is computed again, and the files are those of a run without interruption, byte for byte."""
    if extension == "h5ad":
        pytest.importorskip("anndata")
    words = ["embed", "many.fa", "-o", f"out.{extension}"]
    assert dnafm(*words)[0] == 0
    whole = {path: path.read_bytes() for path in many.glob("out*")}
    for path in whole:
        path.unlink()
    sizes = embedded()
    assert dnafm(*words)[0] == 130
    assert [path.name for path in many.glob("out*")] == [f"out.{extension}.parts"]
    code, printed, _ = dnafm(*words)
    assert code == 0
    assert "Went on from 2 finished chunks" in printed
    # The third one was begun twice.
    assert sizes == [8, 8, 8, 8, 6]
    assert {path: path.read_bytes() for path in many.glob("out*")} == whole


def test_chunks_of_other_options_are_never_used(many, dnafm, embedded):
    """The error tells what differs; --overwrite begins anew."""
    words = ["embed", "many.fa", "-o", "out.npy"]
    embedded()
    assert dnafm(*words)[0] == 130
    code, _, errors = dnafm(*words, "--pooling", "max")
    assert code == 1
    assert 'pooling "mean", not "max"' in errors
    assert dnafm(*words, "--pooling", "max", "--overwrite")[0] == 0
    assert not Path("out.npy.parts").exists()


def test_input_that_changed_is_not_mixed_with_what_it_was(many, dnafm, embedded):
    """Neither of an earlier run."""
    words = ["embed", "many.fa", "-o", "out.npy"]
    embedded()
    assert dnafm(*words)[0] == 130
    write_records("many.fa", N_RECORDS + 1)
    code, _, errors = dnafm(*words)
    assert code == 1
    assert "out.npy.parts holds 2 finished chunks of a run with input" in errors


def test_chunks_end_with_many_bases_or_vectors_of_them(many, dnafm, monkeypatch):
    """Long sequences make chunks of few rows, whose number does not change the vectors' order."""
    assert dnafm("embed", "many.fa", "-o", "rows.npy")[0] == 0
    monkeypatch.setattr(embedding_runs, "CHUNK_BP", 60)
    sizes = []
    embed = Embedder.embed
    monkeypatch.setattr(Embedder, "embed", lambda self, rows: embed(self, sizes.append(rows := list(rows)) or rows))
    assert dnafm("embed", "many.fa", "-o", "bases.npy")[0] == 0
    assert sum(map(len, sizes)) == N_RECORDS
    assert all(sum(map(len, rows[:-1])) < 60 for rows in sizes)
    assert max(map(len, sizes)) < CHUNK
    import numpy as np

    np.testing.assert_allclose(np.load("bases.npy"), np.load("rows.npy"), atol=1e-5)
    assert Path("rows.npy.ids.tsv").read_bytes() == Path("bases.npy.ids.tsv").read_bytes()


@pytest.mark.slow
def test_killed_run_and_ranks_make_the_same_file(tmp_path, monkeypatch):
    """After kill -9 in the middle, and on two ranks: byte for byte that of one run."""
    monkeypatch.chdir(tmp_path)
    # Four chunks.
    write_records("many.fa", 3500, longest_bp=6)
    words = ["many.fa", "-o"]
    printed = run_forked("embed", *words, "whole.parquet")
    assert printed.startswith("3,500 sequences, ")
    parts = Path("out.parquet.parts")
    kill_when(lambda: len(list(parts.glob("*.arrow"))) >= 2, "embed", *words, "out.parquet")
    finished = {path.name: path.read_bytes() for path in parts.glob("*.arrow")}
    assert 2 <= len(finished) <= 4
    shutil.copytree(parts, "two.parquet.parts")
    # Each rank has one to do.
    for name in ("00000002.arrow", "00000003.arrow"):
        Path("two.parquet.parts", name).unlink(missing_ok=True)
    assert f"Went on from {len(finished)} finished chunks" in run_forked("embed", *words, "out.parquet")
    whole = Path("whole.parquet").read_bytes()
    assert Path("out.parquet").read_bytes() == whole
    # What one rank began, two end.
    printed = run_on_two_ranks("embed", *words, "two.parquet")
    assert printed.count("3,500 sequences") == 1
    assert Path("two.parquet").read_bytes() == whole
    assert not list(tmp_path.glob("*.parts")) + list(tmp_path.glob("*.tmp*"))


@pytest.mark.slow
def test_full_disk_is_one_line_and_what_was_computed_stays(many):
    """A limit on the size of files stands for the disk; with room, the same command ends the work."""
    outputs = ["out.parquet", "out.npy", "out.safetensors", "out.tsv"]
    try:
        import anndata  # noqa: F401
    except ImportError:
        pass
    else:
        outputs.append("out.h5ad")
    result = subprocess.run([sys.executable, "-c", DISK_FULL, *outputs], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines.count("1") == 2 * len(outputs), result.stderr
    assert lines.count("0") == len(outputs)
    assert lines.count("Went on from 4 finished chunks of an earlier run.") == len(outputs)
    errors = result.stderr.splitlines()
    for output, of_chunk, of_file in zip(outputs, errors[::2], errors[1::2], strict=True):
        assert of_chunk.startswith(f"dnafm: error: {output}.parts/00000000.arrow cannot be written to the end")
        assert of_file.startswith(f"dnafm: error: {output} cannot be written to the end")
        assert "Is the disk full?" in of_chunk
        assert "Is the disk full?" in of_file
    names = {path.name for path in many.iterdir()}
    assert names == {"many.fa", "out.npy.ids.tsv", "out.safetensors.ids.tsv", *outputs}
