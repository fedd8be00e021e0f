"""What is wrong with a run is said in one line, before training starts."""

import gzip
import json
import re
from pathlib import Path

import pytest

from dnafm.cli.main import main

BASES = "ACGTTGCAAC" * 30


@pytest.fixture
def fasta(tmp_path):
    """Write a FASTA file of these records, by default one of 300 bases."""

    def write(*records: str, name: str = "genome.fa") -> str:
        path = tmp_path / name
        path.write_text("".join(records) or f">chr1\n{BASES}\n")
        return str(path)

    return write


@pytest.fixture
def error(tmp_path, capsys):
    """Run the command and return the line that it ends with."""

    def run(*options: str) -> str:
        fixed = ["--output_dir", str(tmp_path / "run"), "--cache_dir", str(tmp_path / "cache"), "--report_to", "none"]
        assert main(["pretrain", *fixed, *options]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert not (tmp_path / "run").exists(), "nothing is written before training starts"
        return lines[-1]

    return run


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["\n"], r"genome.fa"),
        ([">chr1\nMKVLAAGFEQ\n"], r"genome.fa:2: "),
        ([f">chr1\n{BASES}\n>chr1\n{BASES}\n"], r"genome.fa:3: .*chr1"),
    ],
    ids=["empty", "protein", "duplicate name"],
)
def test_unusable_fasta_is_named(fasta, error, records, expected):
    """File and line are in the message."""
    assert re.search(expected, error("--train_files", fasta(*records), "--max_steps", "1"))


def test_file_cut_in_the_middle_is_named(tmp_path, error):
    """Half a gzip file is an error, not a short genome, and leaves nothing in the cache."""
    whole = gzip.compress(f">chr1\n{BASES * 1000}\n".encode())
    path = tmp_path / "cut.fa.gz"
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut.fa.gz" in error("--train_files", str(path), "--max_steps", "1")
    assert not list((tmp_path / "cache").glob("*.codes"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--held_out", "chr9"], "chr9"),
        (["--held_out", "chr1:1-400"], "chr1:1-400"),
        (["--context_length", "4"], "2 bases"),
        (["--context_length", "5000"], "context has 4000 tokens"),
        (["--model", "huge"], "neither a preset (dnafm, 300m, 30m, tiny)"),
        (["--learning_rate", "0"], "learning_rate is 0.0; it must be greater than 0"),
        (["--global_batch_size", "33"], "must be a multiple of batch_size x devices = 32 x 1"),
        (["--max_tokens", "9"], "the length of the training is one of the two"),
        (["--resume_from_checkpoint", "nowhere"], "nowhere does not exist"),
        (["--size_power", "2"], "size_power is 2.0; it must lie in [0, 1]"),
        (["--config_overrides.hidden_size", "34"], "hidden_size"),
    ],
)
def test_wrong_setting_is_named(fasta, error, options, expected):
    """The value and the rule are in the message."""
    options = [*options, *(["--learning_rate", "1e-3"] if options[0] == "--model" else [])]
    assert expected in error("--train_files", fasta(), "--max_steps", "1", *options)


def test_missing_and_doubled_files_are_named(fasta, error):
    """A file that is not there, a pattern without match, and a file named twice."""
    path = fasta()
    assert "none.fa does not exist" in error("--train_files", "none.fa", "--max_steps", "1")
    assert "*.none matches no file" in error("--train_files", "*.none", "--max_steps", "1")
    assert "more than once" in error("--train_files", path, path, "--max_steps", "1")


def test_unknown_option_and_key_are_refused(tmp_path, fasta, capsys):
    """On the command line and in the YAML file, with argparse's exit code."""
    fixed = ["pretrain", "--train_files", fasta(), "--output_dir", str(tmp_path / "run"), "--max_steps", "1"]
    config = tmp_path / "run.yaml"
    config.write_text(json.dumps({"learning_rat": 1e-3}))
    for options in (["--learning_rat", "1e-3"], ["--config", str(config)]):
        with pytest.raises(SystemExit) as exit_info:
            main([*fixed, *options])
        assert exit_info.value.code == 2
        assert "learning_rat" in capsys.readouterr().err
    assert not Path(tmp_path / "run").exists()
