"""Memory while a sharded checkpoint is loaded, as `benchmarks/bench_load.py` measures it."""

import importlib.util
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_load.py"
# 64 million weights: what the process needs beside them is small, and they are written in a second or two.
SHAPE = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 20, "num_attention_heads": 8}
ARGUMENTS = Namespace(warm=True, threads=1)
SLACK_BYTES = 8 * 2**20  # stacks and arenas of the threads that read

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module")
def bench():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("bench_load", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkpoint(bench, monkeypatch, tmp_path):
    """Factory of a checkpoint in many shards: the bytes of its weights in bfloat16."""
    monkeypatch.setitem(bench.SIZES, "tiny", SHAPE)
    monkeypatch.setitem(bench.SHARD_BYTES, "tiny", 2 * 10**7)

    def make(dtype):
        weights = bench.make_checkpoint(tmp_path, "tiny", dtype)
        assert len(list(tmp_path.glob("*.safetensors"))) > 5
        return 2 * weights

    return make


def test_weights_are_the_pages_of_the_files(bench, checkpoint, tmp_path):
    """In the dtype of the files nothing is copied, although every weight has been looked at."""
    n_bytes = checkpoint(torch.bfloat16)
    peak = bench.measure(ARGUMENTS, "load", tmp_path)
    assert peak["own"] < 0.1 * n_bytes + SLACK_BYTES


def test_weights_in_another_dtype_are_in_memory_once(bench, checkpoint, tmp_path):
    """From float32 files to bfloat16: no second copy, no fresh weights beside those that are read."""
    n_bytes = checkpoint(torch.float32)
    peak = bench.measure(ARGUMENTS, "load", tmp_path)
    assert n_bytes < peak["own"] < 1.1 * n_bytes + SLACK_BYTES


def test_offloaded_weights_are_not_kept(bench, checkpoint, tmp_path):
    """With room for 40 % of the weights, no more than those are ever in memory."""
    n_bytes = checkpoint(torch.float32)
    peak = bench.measure(ARGUMENTS, "offload", tmp_path)
    assert peak["own"] < 0.5 * n_bytes + SLACK_BYTES
