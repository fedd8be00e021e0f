"""Bases per second of `dnafm.iter_embeddings` beside a padded loop in plain transformers.

The loop reads batches of 16 in the order of the sequences, pads each to its longest, and takes the mean over the
bases; it runs with transformers' own EsmcModel of the same shape and dtype, and with our model, which computes no
padding in either way. Lengths are log-uniform in 200 to 4,000 bases, and weights are random: the shape is by default
that of dnafm_tiny, with a context as long. All run in turn in one process, and the median of several rounds is
printed. On a CPU the seconds are those of the processor and not of the clock on the wall, which other programs would
spoil.

    python benchmarks/bench_embed.py  # a small model, for CPUs
    python benchmarks/bench_embed.py --hidden 4352 --layers 32 --heads 32 --intermediate 11584  # 7B, for GPUs
"""

import os
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
import transformers
from esmc_peer import esmc_config
from transformers import EsmcModel

import dnafm
from dnafm import DNAFMConfig, DNAFMModel, DNAFMTokenizer

SHORTEST_BP, LONGEST_BP = 200, 4000
OURS = "dnafm.iter_embeddings"


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=48, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="the median is reported (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="sequences of a padded batch (default: %(default)s)")
    parser.add_argument("--max_tokens", type=int, default=16_384, help="of a batch of ours (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--intermediate", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of sequences and weights (default: %(default)s)")
    return parser.parse_args()


def random_sequences(n_sequences: int, generator: np.random.Generator) -> list[str]:
    lengths = np.exp(generator.uniform(np.log(SHORTEST_BP), np.log(LONGEST_BP), n_sequences)).astype(int)
    return ["".join(generator.choice(list("ACGT"), length)) for length in lengths]


def build_models(arguments: Namespace) -> dict[str, torch.nn.Module]:
    shape = {
        "vocab_size": 16,
        "hidden_size": arguments.hidden,
        "intermediate_size": arguments.intermediate,
        "num_hidden_layers": arguments.layers,
        "num_attention_heads": arguments.heads,
        "max_position_embeddings": LONGEST_BP + 2,
    }
    config = DNAFMConfig(**shape)
    torch.manual_seed(arguments.seed)
    models = {"EsmcModel": EsmcModel(esmc_config(config)), "DNAFMModel": DNAFMModel(config)}
    dtype = getattr(torch, arguments.dtype)
    return {name: model.to(arguments.device, dtype).eval() for name, model in models.items()}


def padded_loop(model, tokenizer, *, sequences: Sequence[str], batch: int) -> Iterator[np.ndarray]:
    """Yield the mean over the bases of each sequence as a user of transformers writes it down."""
    for start in range(0, len(sequences), batch):
        inputs = tokenizer(sequences[start : start + batch], padding=True, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state
        lengths = inputs["attention_mask"].sum(dim=1)
        places = torch.arange(states.shape[1], device=states.device)
        is_base = ((places > 0) & (places < lengths[:, None] - 1))[..., None]
        yield from ((states * is_base).sum(dim=1) / is_base.sum(dim=1)).float().cpu().numpy()


class Clock:
    """Seconds, and those of them that are spent in a model's forward pass."""

    def __init__(self, model: torch.nn.Module, device: str):
        self.in_model, self._is_cuda, self._forward = 0.0, device == "cuda", model.forward
        model.forward = self._timed

    def now(self) -> float:
        """Return seconds since some moment, when the device has done its work."""
        if not self._is_cuda:
            return process_time()
        torch.cuda.synchronize()
        return perf_counter()

    def time(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """Return how long a call takes, and what it returns; count anew what is spent in the model."""
        self.in_model = 0.0
        start = self.now()
        returned = call()
        return self.now() - start, returned

    def _timed(self, *args, **kwargs):
        start = self.now()
        outputs = self._forward(*args, **kwargs)
        self.in_model += self.now() - start
        return outputs


def describe(sequences: Sequence[str], arguments: Namespace) -> None:
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} threads"
    print(
        f"machine: {os.cpu_count()} CPUs, {device}, {arguments.dtype}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )
    lengths = [len(sequence) + 2 for sequence in sequences]
    batches = [lengths[start : start + arguments.batch] for start in range(0, len(lengths), arguments.batch)]
    print(
        f"{len(lengths)} sequences of {min(lengths) - 2} to {max(lengths) - 2} bases: {sum(lengths):,} tokens, "
        f"{sum(len(batch) * max(batch) for batch in batches):,} with the padding of batches of {arguments.batch}"
    )


def report(seconds: dict[str, list[float]], n_bases: int) -> None:
    for name, taken in seconds.items():
        print(f"{name:24} {n_bases / median(taken):10,.0f} bases/s", end="")
        if name != OURS:
            ratios = [slow / quick for slow, quick in zip(taken, seconds[OURS], strict=True)]
            print(f"; ours {median(ratios):.2f} x (rounds: {min(ratios):.2f} to {max(ratios):.2f})", end="")
        print()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    sequences = random_sequences(arguments.sequences, np.random.default_rng(arguments.seed))
    models, tokenizer = build_models(arguments), DNAFMTokenizer(model_max_length=LONGEST_BP + 2)
    model, clock = models["DNAFMModel"], Clock(models["DNAFMModel"], arguments.device)
    ways = {f"padded loop, {name}": partial(padded_loop, each, tokenizer) for name, each in models.items()}
    ways = {name: partial(way, batch=arguments.batch) for name, way in ways.items()}
    ways[OURS] = partial(dnafm.iter_embeddings, model, tokenizer=tokenizer, max_tokens=arguments.max_tokens)
    describe(sequences, arguments)
    for way in ways.values():
        list(way(sequences=sequences[:4]))  # kernels are chosen, and memory is laid out
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, list[np.ndarray]] = {}
    shares = []
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            taken, vectors[name] = clock.time(lambda way=way: list(way(sequences=sequences)))
            seconds[name].append(taken)
        shares.append(clock.in_model / seconds[OURS][-1])
    report(seconds, sum(map(len, sequences)))
    difference = np.abs(np.stack(vectors[OURS]) - np.stack(vectors["padded loop, DNAFMModel"])).max()
    print(
        f"of the time of ours, {median(shares):.1%} is inside the model; both ways with it agree to {difference:.0e}"
    )


if __name__ == "__main__":
    main()
