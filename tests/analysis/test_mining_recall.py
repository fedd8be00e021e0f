"""Mutated copies of real DNA in other real DNA: which are found, beside counts of k-mers in the same harness."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("lancedb")

from dnafm.analysis.embedding_models import model_and_tokenizer
from dnafm.analysis.mining import Index

ROOT = Path(__file__).parents[2]
WINDOW = 128


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_mine", ROOT / "benchmarks" / "bench_mine.py")
    module = importlib.util.module_from_spec(spec)
    # Data classes look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
def test_mutated_copies_are_found_among_windows_of_another_genome(bench, tmp_path):
    """Copies without a mutation always, and most of those with one base in twenty substituted."""
    generator = np.random.default_rng(0)
    (host,) = bench.known_pieces(bench.FIXTURES / "ustilago_maydis.fa.gz", 8000, 1, generator)
    genes = bench.known_pieces(bench.FIXTURES / "drosophila_melanogaster.fa.gz", WINDOW, 8, generator)
    paths, copies = bench.plant(genes, host, tmp_path, generator)
    model, tokenizer = model_and_tokenizer("dnafm_tiny")
    index = Index.create(tmp_path / "store", model, tokenizer=tokenizer, window_bp=WINDOW)
    index.add(paths)
    of_model = bench.recall_of(bench.ModelSearch(index), genes, copies)
    of_kmers = bench.recall_of(bench.KmerSearch(paths, index.settings.cut, 5), genes, copies)
    print(*(f"{name:14} model {of_model[name]}  5-mers {of_kmers[name]}" for name in of_model), sep="\n")
    assert of_model["aligned_0"] == of_kmers["aligned_0"] == {1: 1.0, 10: 1.0}
    assert of_model["aligned_0.05"][1] >= 0.75
    assert of_kmers["aligned_0.05"][10] == 1
