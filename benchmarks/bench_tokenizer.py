"""Bases per second of DNAFMTokenizer beside the Rust tokenizer that its own tokenizer.json describes, on one thread.

Both sides answer `tokenizer(batch, padding=True, return_tensors="pt")`, and have to give the same tensors.
"""

import os
import random
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

# The Rust library reads these when it first runs.
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tokenizers
import torch
import transformers
from transformers import PreTrainedTokenizerFast

from dnafm.tokenization_dnafm import DNAFMTokenizer


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=64, help="sequences of a batch (default: %(default)s)")
    parser.add_argument("--length", type=int, default=4000, help="bases of the longest one (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds; the median is reported (default: %(default)s)")
    parser.add_argument(
        "--calls", type=int, default=50, help="calls of ours in a round, one of Rust (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sequences (default: %(default)s)")
    return parser.parse_args()


def cpu_model() -> str:
    """Return the name of the processor, or what kind it is where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def random_sequences(lengths: list[int], generator: random.Random) -> list[str]:
    return ["".join(generator.choices("ACGT", k=length)) for length in lengths]


def seconds_of(call: Callable[[], object], n_calls: int) -> float:
    times = []
    for _ in range(n_calls):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return median(times)


def compare(name: str, batch: list[str], *, ours: DNAFMTokenizer, rust: PreTrainedTokenizerFast, arguments: Namespace):
    """Print the speed of both tokenizers on a batch and their ratio, after checking that they agree."""

    def encode(tokenizer) -> dict[str, torch.Tensor]:
        return tokenizer(batch, padding=True, return_tensors="pt")

    expected, found = encode(rust), encode(ours)
    if not all(torch.equal(expected[key], found[key]) for key in ("input_ids", "attention_mask")):
        raise SystemExit(f"{name}: the two tokenizers disagree.")
    rounds = [
        (seconds_of(lambda: encode(rust), 1), seconds_of(lambda: encode(ours), arguments.calls))
        for _ in range(arguments.rounds)
    ]
    n_bases = sum(map(len, batch))
    rust_speed, our_speed = (n_bases / median(times) / 1e6 for times in zip(*rounds, strict=True))
    ratios = [slow / fast for slow, fast in rounds]
    print(f"{name}: {len(batch)} sequences, {n_bases:,} bases")
    print(f"  Rust  {rust_speed:9.2f} Mbases/s")
    print(f"  ours  {our_speed:9.2f} Mbases/s")
    print(f"  ratio {median(ratios):9.0f} x (rounds: {min(ratios):.0f} to {max(ratios):.0f})")


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    generator = random.Random(arguments.seed)
    ours = DNAFMTokenizer(model_max_length=arguments.length + 2)
    with tempfile.TemporaryDirectory() as folder:
        ours.save_pretrained(folder)
        rust = PreTrainedTokenizerFast.from_pretrained(folder)
    print(f"machine: {cpu_model()}, {os.cpu_count()} CPUs, one thread used")
    print(
        f"versions: transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, "
        f"torch {torch.__version__}, numpy {np.__version__}"
    )
    equal = [arguments.length] * arguments.sequences
    mixed = [generator.randint(1, arguments.length) for _ in equal]
    for name, lengths in {"equal lengths": equal, "mixed lengths": mixed}.items():
        compare(name, random_sequences(lengths, generator), ours=ours, rust=rust, arguments=arguments)


if __name__ == "__main__":
    main()
