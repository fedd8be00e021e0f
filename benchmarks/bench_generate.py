"""Bases designed a second by `generate`, beside masked diffusion by hand on a plain transformers model, padded.

Both fill the same templates in the same rounds, in random order, with batches of the same number of sequences. The
plain way pads each batch to its longest sequence, computes the logits of all tokens in each round and draws from them
with torch. It runs with transformers' own EsmcForMaskedLM of the same shape and dtype, with random weights, and with
our model, which computes no padding in either way. What is counted is a base of a template that was filled; a round is
one pass of the model for each sequence. On a CPU the seconds are those of the processor and not of the clock on the
wall, which other programs would spoil.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
import transformers
from esmc_peer import esmc_config
from transformers import AutoModelForMaskedLM, AutoTokenizer, EsmcForMaskedLM

from dnafm.analysis.base_predictions import BASE_IDS, BasePredictor
from dnafm.analysis.generation import generate
from dnafm.analysis.generation_sampling import Sampling, round_sizes
from dnafm.analysis.generation_templates import Template, free_template
from dnafm.checkpoints import backbone_location

OURS = "dnafm.generate"


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="dnafm_tiny", help="model (default: %(default)s)")
    parser.add_argument("--sequences", type=int, default=32, help="sequences that are designed (default: %(default)s)")
    parser.add_argument("--length", type=int, default=500, help="bases of the longest one (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of unmasking (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="the median is reported (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16_384, help="tokens of a batch (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of lengths and bases (default: %(default)s)")
    return parser.parse_args()


@torch.inference_mode()
def plain_designs(templates: list[Template], model, tokenizer, arguments: Namespace) -> list[str]:
    """Fill the places of templates as one would write it by hand."""
    generator = torch.Generator().manual_seed(arguments.seed)
    size = max(1, arguments.batch // (arguments.length + 2))
    base_ids, designs = torch.tensor(BASE_IDS), []
    for start in range(0, len(templates), size):
        own = templates[start : start + size]
        texts = [template.bases.replace("?", tokenizer.mask_token) for template in own]
        inputs = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        ids = inputs["input_ids"]
        orders = [row.nonzero()[:, 0] for row in ids == tokenizer.mask_token_id]
        orders = [order[torch.randperm(len(order), generator=generator)] for order in orders]
        for number in range(arguments.rounds):
            logits = model(ids.to(model.device), inputs["attention_mask"].to(model.device)).logits
            p = logits[..., BASE_IDS].float().softmax(-1).cpu()
            for row, order in enumerate(orders):
                sizes = round_sizes(len(order), arguments.rounds)
                places = order[sum(sizes[:number]) : sum(sizes[: number + 1])]
                ids[row, places] = base_ids[torch.multinomial(p[row, places], 1, generator=generator)[:, 0]]
        designs += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return designs


def designs_of(templates: list[Template], model, tokenizer, arguments: Namespace) -> list[str]:
    predictor = BasePredictor(model, tokenizer, strand="forward", max_tokens=arguments.batch)
    sampling = Sampling(rounds=arguments.rounds, seed=arguments.seed)
    results = generate(predictor, templates, sampling=sampling, has_likelihood=False)
    return [result.sequence for result in results]


def seconds_of(designs: Callable[[], list[str]], n_bases: int, *, is_cuda: bool) -> float:
    now = perf_counter if is_cuda else process_time
    start = now()
    found = designs()
    seconds = now() - start
    assert sum(map(len, found)) == n_bases
    assert set("".join(found)) <= set("ACGT")
    return seconds


def report(name: str, seconds: dict[str, list[float]], n_bases: int, rounds: int) -> None:
    print(f"{name}: {n_bases:,} bases, {rounds} rounds")
    for way, taken in seconds.items():
        designed = n_bases / median(taken)
        print(f"  {way:24} {designed:8,.0f} bases designed/s, {designed * rounds:9,.0f} bases/s in each round", end="")
        if way != OURS:
            ratios = [slow / quick for slow, quick in zip(taken, seconds[OURS], strict=True)]
            print(f"; ours {median(ratios):.2f} x (repeats: {min(ratios):.2f} to {max(ratios):.2f})", end="")
        print(flush=True)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    location = backbone_location(arguments.backbone)
    tokenizer = AutoTokenizer.from_pretrained(location)
    dtype = getattr(torch, arguments.dtype)
    model = AutoModelForMaskedLM.from_pretrained(location, dtype=dtype).to(arguments.device).eval()
    esmc = EsmcForMaskedLM(esmc_config(model.config)).to(arguments.device, dtype).eval()
    is_cuda = arguments.device == "cuda"
    device = torch.cuda.get_device_name() if is_cuda else f"CPU, {arguments.threads} threads"
    print(
        f"machine: {os.cpu_count()} CPUs, {device}, {arguments.dtype}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}; {arguments.sequences} sequences"
    )
    generator = np.random.default_rng(arguments.seed)
    lengths = generator.integers(arguments.length // 10, arguments.length, arguments.sequences, endpoint=True)
    cases = {
        "equal lengths": [free_template(arguments.length, id=str(i)) for i in range(arguments.sequences)],
        "mixed lengths": [free_template(int(length), id=str(i)) for i, length in enumerate(lengths)],
    }
    ways = {
        "EsmcForMaskedLM by hand": partial(plain_designs, model=esmc, tokenizer=tokenizer, arguments=arguments),
        "DNAFMForMaskedLM by hand": partial(plain_designs, model=model, tokenizer=tokenizer, arguments=arguments),
        OURS: partial(designs_of, model=model, tokenizer=tokenizer, arguments=arguments),
    }
    for name, templates in cases.items():
        n_bases = sum(len(template.bases) for template in templates)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for designs in ways.values():
            designs(templates[:2])  # memory is laid out
        for _ in range(arguments.repeats):
            for way, designs in ways.items():
                seconds[way].append(seconds_of(partial(designs, templates), n_bases, is_cuda=is_cuda))
        report(name, seconds, n_bases, arguments.rounds)


if __name__ == "__main__":
    main()
