"""Bases designed a second by `generate`, beside masked diffusion by hand on a plain transformers model, padded.

Both fill the same templates in the same rounds, in random order, with batches of the same number of sequences. The
plain way pads each batch to its longest sequence, computes the logits of all tokens in each round and draws from them
with torch. Its model is the same, which computes no padding either, so the ratio is about what is around it. What is
counted is a base of a template that was filled; a round is one pass of the model for each sequence.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.analysis.base_predictions import BASE_IDS, BasePredictor
from dnafm.analysis.generation import generate
from dnafm.analysis.generation_sampling import Sampling, round_sizes
from dnafm.analysis.generation_templates import Template, free_template
from dnafm.checkpoints import backbone_location


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
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch on the CPU")
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


def seconds_of(call: Callable[[], list[str]], n_bases: int) -> float:
    start = perf_counter()
    designs = call()
    seconds = perf_counter() - start
    assert sum(map(len, designs)) == n_bases
    assert set("".join(designs)) <= set("ACGT")
    return seconds


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    location = backbone_location(arguments.backbone)
    tokenizer = AutoTokenizer.from_pretrained(location)
    dtype = getattr(torch, arguments.dtype)
    model = AutoModelForMaskedLM.from_pretrained(location, dtype=dtype).to(arguments.device).eval()
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} threads"
    print(
        f"machine: {os.cpu_count()} CPUs, {device}, {arguments.dtype}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )
    generator = np.random.default_rng(arguments.seed)
    lengths = generator.integers(arguments.length // 10, arguments.length, arguments.sequences, endpoint=True)
    cases = {
        "equal lengths": [free_template(arguments.length, id=str(i)) for i in range(arguments.sequences)],
        "mixed lengths": [free_template(int(length), id=str(i)) for i, length in enumerate(lengths)],
    }
    for name, templates in cases.items():
        n_bases = sum(len(template.bases) for template in templates)
        plain_designs(templates[:2], model, tokenizer, arguments)  # memory is laid out
        designs_of(templates[:2], model, tokenizer, arguments)
        repeats = [
            (
                seconds_of(lambda own=templates: plain_designs(own, model, tokenizer, arguments), n_bases),
                seconds_of(lambda own=templates: designs_of(own, model, tokenizer, arguments), n_bases),
            )
            for _ in range(arguments.repeats)
        ]
        plain, ours = (median(seconds) for seconds in zip(*repeats, strict=True))
        ratios = [slow / fast for slow, fast in repeats]
        print(f"{name}: {len(templates)} sequences, {n_bases:,} bases, {arguments.rounds} rounds")
        for way, seconds in (("plain", plain), ("ours", ours)):
            per_round = n_bases * arguments.rounds / seconds
            print(f"  {way:5} {n_bases / seconds:9.0f} bases designed/s, {per_round:9.0f} bases/s in each round")
        print(f"  ratio {median(ratios):9.2f} x (repeats: {min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
