"""Bases per second from FASTA to batches: encoding on one core, then windows and collators in one process.

The plain reader beside it joins the lines of a record and looks its letters up; both have to give the same ids.
"""

import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from dnafm.data import GenomeWindows, MaskedDiffusionCollator, MaskedLanguageModelCollator, open_genome
from dnafm.data.fasta import TOKEN_ID_MASK
from dnafm.data.genome_cache import EncodedGenome
from dnafm.tokenization_dnafm import VOCABULARY


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--bases", type=int, default=100_000_000, help="bases of the FASTA (default: %(default)s)")
    parser.add_argument("--width", type=int, default=60, help="bases of a line (default: %(default)s)")
    parser.add_argument("--context", type=int, default=4000, help="tokens of an input (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="windows of a batch (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=40, help="batches to time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median is reported (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sequence (default: %(default)s)")
    return parser.parse_args()


def write_fasta(path: Path, arguments: Namespace) -> None:
    """Write ten sequences of random bases, a third of them in lower case, one in a hundred N."""
    letters = np.frombuffer(b"ACGT" * 16 + b"acgt" * 8 + b"N", np.uint8)
    generator = np.random.default_rng(arguments.seed)
    n_lines = arguments.bases // 10 // arguments.width
    lines = np.full((n_lines, arguments.width + 1), ord("\n"), np.uint8)
    with path.open("wb") as stream:
        for i in range(10):
            lines[:, :-1] = letters[generator.integers(len(letters), size=(n_lines, arguments.width))]
            stream.write(b">sequence%d\n" % i + lines.tobytes())


def time_encoding(path: Path, folder: Path, arguments: Namespace) -> EncodedGenome:
    """Print the speed of a first and of a second opening."""
    seconds: list[float] = []
    seconds_again: list[float] = []
    for i in range(arguments.rounds):
        for times in (seconds, seconds_again):
            start = perf_counter()
            genome = open_genome(path, cache_dir=folder / f"cache{i}")
            times.append(perf_counter() - start)
    print(f"encode, write and sync {len(genome) / median(seconds) / 1e6:9.0f} Mb/s")
    print(f"open from the cache    {median(seconds_again) * 1e3:9.2f} ms")
    return genome


def time_plain_reader(path: Path, genome: EncodedGenome) -> None:
    """Print the speed of reading the first record line by line, after comparing the ids."""
    start = perf_counter()
    with path.open() as stream:
        next(stream)
        lines = [line.rstrip().upper() for line in takewhile(lambda line: line[0] != ">", stream)]
    letters = np.frombuffer("".join(lines).encode(), np.uint8)
    found = np.array([VOCABULARY.index(chr(i)) if chr(i) in "ACGTN" else 0 for i in range(128)], np.uint8)[letters]
    seconds = perf_counter() - start
    if not np.array_equal(genome.codes[: len(found)] & TOKEN_ID_MASK, found):
        raise SystemExit("The two readers disagree.")
    print(f"line by line, in memory {len(found) / seconds / 1e6:8.0f} Mb/s")


def time_batches(name: str, windows: GenomeWindows, collate, batches: Sequence[Sequence[int]]) -> None:
    seconds = []
    for batch in batches:
        start = perf_counter()
        collate([windows[i] for i in batch])
        seconds.append(perf_counter() - start)
    n_bases = len(batches[0]) * windows.window_bp
    print(f"{name:<22} {n_bases / median(seconds) / 1e6:9.1f} Mbases/s")


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} CPUs, one process; torch {torch.__version__}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_fasta(folder / "genome.fa", arguments)
        genome = time_encoding(folder / "genome.fa", folder, arguments)
        time_plain_reader(folder / "genome.fa", genome)
        windows = GenomeWindows([genome], arguments.context, max_unknown=0.5, random_offset=True)
        order = np.random.default_rng(arguments.seed).permutation(len(windows)).tolist()
        n_batches = min(arguments.batches, len(windows) // arguments.batch)
        batches = [order[i * arguments.batch : (i + 1) * arguments.batch] for i in range(n_batches)]
        time_batches("windows alone", windows, lambda samples: samples, batches)
        for collate in (
            MaskedLanguageModelCollator(reverse_complement_probability=0.5),
            MaskedDiffusionCollator(reverse_complement_probability=0.5),
        ):
            time_batches(type(collate).__name__.removesuffix("Collator"), windows, collate, batches)


if __name__ == "__main__":
    main()
