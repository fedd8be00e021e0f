"""bigWig tracks of `dnafm ism`, and runs of `dnafm ism` and `dnafm depmap` that are interrupted or shared by ranks."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis import finished_chunks, region_runs, track_runs
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.base_tracks import track_bases
from dnafm.cli import main as cli
from dnafm.genomics import Interval, ReferenceGenome, bigwig_contig_lengths, read_bigwig

pytest.importorskip("pysam")
pybigtools = pytest.importorskip("pybigtools")

CONTIGS = {
    "one": "GATTACAGGCTTAACCNRGATATCGCGATTTGCCATAAGCCTTAGGCATTACCGGTTCAAGATTACA" * 2,
    "two": "ACGTTGCANT",
    "3": "NNN",
}
TRACKS = ("--entropy_track", "e.bw", "--log_probability_track", "p.bw")
# Small chunks, and a process that ends as by kill -9 when it has finished some.
WORKER = """
import os, signal, sys
from dnafm.analysis import region_runs, track_runs
from dnafm.analysis.finished_chunks import FinishedChunks
from dnafm.cli.main import main

region_runs.CHUNK_BP, track_runs.CHUNK_BP = 10, 10
write, n_left = FinishedChunks.write, int(os.environ["CHUNKS_TO_LIVE"])

def write_and_die(*arguments):
    global n_left
    write(*arguments)
    n_left -= 1
    if not n_left:
        os.kill(os.getpid(), signal.SIGKILL)

FinishedChunks.write = write_and_die
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    """A folder with a masked language model that reads 62 bases."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model(DNAFMForMaskedLM).save_pretrained(folder)
    DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a genome, and regions of it that overlap."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in CONTIGS.items()))
    (tmp_path / "regions.bed").write_text("two\t0\t10\none\t10\t30\tx\t0\t-\none\t20\t41\none\t130\t134\n")
    return tmp_path


@pytest.fixture
def dnafm(checkpoint, place, capsys):
    """Run a command with the small backbone; returns its exit code, what it printed, and its errors."""

    def run(*words):
        capsys.readouterr()
        code = cli.main([*map(str, words), "--backbone", str(checkpoint)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 10 bases in place of thousands."""
    for module in (region_runs, track_runs):
        monkeypatch.setattr(module, "CHUNK_BP", 10)
    monkeypatch.setattr(region_runs, "UNMASKED_CHUNK_BP", 10)


def values(path, contig, start_bp, end_bp):
    """What both readers say: NaN where there is no number."""
    found = read_bigwig(path, Interval(contig, start_bp, end_bp))
    with pybigtools.open(path) as track:
        np.testing.assert_array_equal(track.values(contig, start_bp, end_bp, fillna=None), found)
    return found


def test_tracks_of_regions_hold_the_numbers_of_the_function(dnafm, checkpoint):
    """Regions are merged, whatever their strand; a base without a number, or beyond them, has none in the file."""
    code, printed, _ = dnafm("ism", "regions.bed", "--fasta", "genome.fa", *TRACKS, "--stride", 3, "--window", 20)
    assert (code, printed) == (0, "42 bases have a number in e.bw.\n42 bases have a number in p.bw.\n")
    assert bigwig_contig_lengths("e.bw") == {"one": 134, "two": 10}
    model = DNAFMForMaskedLM.from_pretrained(checkpoint).eval()
    predictor = BasePredictor(model, DNAFMTokenizer.from_pretrained(checkpoint))
    intervals = [Interval("one", 10, 41), Interval("one", 130, 134), Interval("two", 0, 10)]
    with ReferenceGenome("genome.fa") as genome:
        parts = list(track_bases(predictor, genome, intervals, stride=3, window_bp=20))
    for part, interval in zip(parts, intervals, strict=True):
        place = (interval.contig, interval.start_bp, interval.end_bp)
        np.testing.assert_allclose(values("e.bw", *place), part.entropy_bits, atol=1e-6)
        np.testing.assert_allclose(values("p.bw", *place), part.log_probability, atol=1e-6)
    is_known = np.isin(list(CONTIGS["one"][10:41]), list("ACGT"))
    assert np.isfinite(values("e.bw", "one", 0, 134)).nonzero()[0].tolist() == [
        *(np.flatnonzero(is_known) + 10),
        *range(130, 134),
    ]


def test_contigs_are_records_of_a_file_or_regions_by_name(dnafm):
    """All of a FASTA file, and a contig by its name or, where asked, by another one."""
    assert dnafm("ism", "genome.fa", "--entropy_track", "all.bw")[0] == 0
    assert dnafm("ism", "one", "--fasta", "genome.fa", "--entropy_track", "one.bigWig")[0] == 0
    np.testing.assert_allclose(values("all.bw", "one", 0, 134), values("one.bigWig", "one", 0, 134), atol=1e-5)
    assert np.isfinite(values("all.bw", "one", 0, 134)).sum() == 130
    assert np.isfinite(values("all.bw", "two", 0, 10)).sum() == 9
    code, _, errors = dnafm(
        "ism", "chr3", "--fasta", "genome.fa", "--contig_aliases", "--log_probability_track", "n.bw"
    )
    assert (code, errors) == (
        1,
        "dnafm: error: n.bw: there is no value, and a bigWig file cannot be without any.\n",
    )


@pytest.mark.parametrize("option", ["--scores", "--track_scores"])
def test_unmasked_tracks_are_those_of_the_table(dnafm, option):
    """Of a contig that is one window: entropy, and log-probability of the base that is there."""
    words = ["ism", "two", "--fasta", "genome.fa", "--strand", "reverse"]
    assert dnafm(*words, *TRACKS, option, "unmasked")[0] == 0
    code, printed, _ = dnafm(*words, "-o", "two.tsv", *TRACKS, "--scores", "unmasked", "--overwrite")
    lines = ["10 bases written to two.tsv.", *(f"9 bases have a number in {path}." for path in ("e.bw", "p.bw"))]
    assert (code, printed.splitlines()) == (0, lines)
    table = pd.read_csv("two.tsv", sep="\t")
    known = table[table["reference_base"] != "N"]
    log_p = [row[f"log_probability_{row['reference_base']}"] for _, row in known.iterrows()]
    for path, expected in (("e.bw", known["entropy_bits"]), ("p.bw", log_p)):
        found = values(path, "two", 0, 10)
        assert np.isnan(found[8])
        np.testing.assert_allclose(found[known["start_bp"]], expected, atol=1e-5)


@pytest.mark.parametrize("scores", ["masked", "unmasked"])
def test_long_regions_are_cut_and_joined(dnafm, small_chunks, scores):
    """With the results of the whole, in windows that see past the cuts."""
    words = ["ism", "one:3-130", "--fasta", "genome.fa", "--window", 20, "--scores", scores]
    assert dnafm(*words, "-o", "parts.npz")[0] == 0
    region_runs.CHUNK_BP = region_runs.UNMASKED_CHUNK_BP = 1024
    assert dnafm(*words, "-o", "whole.npz")[0] == 0
    with np.load("parts.npz") as parts, np.load("whole.npz") as whole:
        assert parts["one:3-130/effects"].shape == (128, 4)
        assert set(parts) == set(whole)
        for name in ("effects", "entropy_bits", "log_probabilities"):
            np.testing.assert_allclose(parts[f"one:3-130/{name}"], whole[f"one:3-130/{name}"], atol=1e-5)
        for name in ("sequence", "contig", "start_bp"):
            assert parts[f"one:3-130/{name}"] == whole[f"one:3-130/{name}"]


@pytest.mark.parametrize("words", [["ism", "-o", "out.parquet", *TRACKS], ["depmap", "-o", "out.npz"]])
def test_interrupted_run_goes_on(dnafm, small_chunks, monkeypatch, words):
    """The next one computes what is missing, and its files are those of a whole run; figures, too."""
    words = [words[0], "regions.bed", "--fasta", "genome.fa", "--window", 20, *words[1:], "--plot", "out.html"]
    assert dnafm(*words)[0] == 0
    paths = [path for path in Path().iterdir() if path.name.startswith(("out.", "e.bw", "p.bw"))]
    whole = {path: path.read_bytes() for path in paths}
    assert len(whole) == (7 if words[0] == "ism" else 5)
    for path in paths:
        path.unlink()
    write, indices = finished_chunks.FinishedChunks.write, []

    def interrupted(self, index, rows):
        if len(indices) == 2:
            raise KeyboardInterrupt
        indices.append(index)
        write(self, index, rows)

    with monkeypatch.context() as patch:
        patch.setattr(finished_chunks.FinishedChunks, "write", interrupted)
        assert dnafm(*words)[0] == 130
    assert not [path for path in paths if path.exists()]
    code, printed, _ = dnafm(*words)
    assert code == 0
    assert "ent on from 2 finished chunks of an earlier run.\n" in printed
    assert {path: path.read_bytes() for path in paths} == whole
    assert not list(Path().glob("*.parts"))


def test_chunks_of_other_options_are_never_used(dnafm, small_chunks, monkeypatch):
    """The error tells what differs; --overwrite begins anew."""
    words = ["ism", "regions.bed", "--fasta", "genome.fa", "-o", "out.tsv", *TRACKS]
    with monkeypatch.context() as patch:
        patch.setattr(finished_chunks.FinishedChunks, "remove", lambda self: None)
        assert dnafm(*words)[0] == 0
    for path in ("e.bw", "p.bw", "out.tsv"):
        Path(path).unlink()
    code, _, errors = dnafm(*words, "--stride", 4)
    assert code == 1
    assert "finished chunks of a run with stride 8, not 4" in errors
    code, _, errors = dnafm(*words, "--strand", "forward")
    assert 'strand "both", not "forward"' in errors
    assert dnafm(*words, "--strand", "forward", "--overwrite")[0] == 0
    assert not list(Path().glob("*.parts"))


def processes(checkpoint, launcher, *words, chunks_to_live=-1):
    """Run the command in other processes with small chunks; returns the exit code, and what was printed."""
    Path("worker.py").write_text(WORKER)
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CHUNKS_TO_LIVE": str(chunks_to_live)}
    result = subprocess.run(
        [*launcher, "worker.py", *map(str, words), "--backbone", str(checkpoint)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert chunks_to_live > 0 or result.returncode == 0, result.stderr
    return result.returncode, result.stdout


@pytest.mark.slow
def test_killed_and_shared_runs_write_the_same_files(dnafm, checkpoint, small_chunks):
    """After kill -9 amid the tracks and again amid the regions, and on two ranks under torchrun."""
    words = ["ism", "regions.bed", "--fasta", "genome.fa", "--window", 20, *TRACKS]
    assert dnafm(*words, "-o", "out.parquet")[0] == 0
    paths = [Path(name) for name in ("out.parquet", "e.bw", "p.bw")]
    whole = [path.read_bytes() for path in paths]

    def remove():
        for path in paths:
            path.unlink()

    remove()
    for chunks_to_live in (2, 5):
        killed = processes(checkpoint, [sys.executable], *words, "-o", "out.parquet", chunks_to_live=chunks_to_live)
        assert killed[0] == -signal.SIGKILL
        assert not [path for path in paths if path.exists()]
    code, printed, _ = dnafm(*words, "-o", "out.parquet")
    assert (code, printed.count("finished chunks of an earlier run")) == (0, 2)
    assert [path.read_bytes() for path in paths] == whole
    remove()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    code, printed = processes(checkpoint, torchrun, *words, "-o", "out.parquet")
    assert printed.count("bases written to out.parquet.") == 1
    assert [path.read_bytes() for path in paths] == whole


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["genome.fa"], "There is nothing to write. .* Tracks are named by --entropy_track and --log_probability"),
        (["genome.fa", "--entropy_track", "e.wig"], "--entropy_track e.wig: the extension must be one of .bw"),
        (["genome.fa", *TRACKS[:2], "--log_probability_track", "e.bw"], "are both e.bw. Name two files."),
        (["genome.fa", *TRACKS, "--stride", "1"], "stride is 1; it must be at least 2"),
        (["genome.fa", *TRACKS, "--window", "63"], "window_bp is 63; the model reads 1 to 62 bases"),
        (["genome.fa", "--entropy_track", "no/e.bw"], "The folder no does not exist"),
        (["genome.fa", "--entropy_track", "old.bw"], "old.bw exists. Write to another file"),
        (["ACGT", *TRACKS], "A track lies along a genome, and 'ACGT' is none."),
        (["ACGT", *TRACKS, "--model", "tuned"], "--entropy_track: tuned predicts no bases. Leave --model out"),
        (["two:1-11", "--fasta", "genome.fa", *TRACKS], "two:1-11 ends behind two, which has 10 bases"),
    ],
)
def test_wrong_input_is_one_line(dnafm, place, words, message):
    """With exit code 1, and no file."""
    (place / "old.bw").write_text("mine")
    before = set(place.iterdir())
    code, printed, errors = dnafm("ism", *words)
    assert (code, printed, errors.count("\n")) == (1, "", 1)
    assert re.search(message, errors)
    assert {path for path in set(place.iterdir()) - before if path.suffix != ".fai"} == set()
