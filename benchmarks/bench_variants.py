"""Variants per second of `VariantScorer` beside the plain way in transformers, on the same model and windows.

The plain way reads every variant's reference and alternative window, batched, each on both strands, and takes the
log-probabilities at the variant from the logits: two unmasked forward passes for each variant and strand. Ours are
one masked pass for each position and strand, so that passes are saved 6 : 1 where all substitutions of a base are
asked for, and 2 : 1 where one is.
"""

import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.analysis.base_predictions import BASE_IDS, BasePredictor
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.checkpoints import backbone_location
from dnafm.genomics import ReferenceGenome, Variant, reverse_complement
from dnafm.genomics.sequences import BASES


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="dnafm_tiny", help="model (default: %(default)s)")
    parser.add_argument("--variants", type=int, default=9999, help="SNVs of ours (default: %(default)s)")
    parser.add_argument("--plain", type=int, default=300, help="SNVs of the plain way (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="the median is reported (default: %(default)s)")
    parser.add_argument("--window", type=int, default=1024, help="bases of a window (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16_384, help="tokens of a batch (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch on the CPU")
    parser.add_argument("--seed", type=int, default=0, help="of genome and variants (default: %(default)s)")
    return parser.parse_args()


def random_genome(folder: Path, n_bases: int, generator: np.random.Generator) -> ReferenceGenome:
    path = folder / "genome.fa"
    path.write_text(f">chr\n{''.join(generator.choice(list(BASES), n_bases))}\n")
    return ReferenceGenome(path)


def saturated(genome: ReferenceGenome, n_variants: int) -> list[Variant]:
    """All three substitutions of every base from the first that has a whole window, a record each."""
    variants = []
    for start_bp in range(genome.contig_lengths["chr"] // 4, genome.contig_lengths["chr"]):
        reference = genome.fetch_bases("chr", start_bp, start_bp + 1)
        variants += [Variant("chr", start_bp, reference, (base,)) for base in BASES.replace(reference, "")]
        if len(variants) >= n_variants:
            break
    return variants[:n_variants]


def scattered(genome: ReferenceGenome, n_variants: int, generator: np.random.Generator) -> list[Variant]:
    """One substitution of as many bases, in the order of the genome."""
    length_bp = genome.contig_lengths["chr"]
    variants = []
    for start_bp in np.sort(generator.choice(length_bp, n_variants, replace=False)).tolist():
        reference = genome.fetch_bases("chr", start_bp, start_bp + 1)
        variants.append(Variant("chr", start_bp, reference, (BASES.replace(reference, "")[start_bp % 3],)))
    return variants


def plain_ratios(variants: Sequence[Variant], genome: ReferenceGenome, model, tokenizer, arguments: Namespace):
    """Return log p(alternative | its window) - log p(reference | its window), mean over strands."""
    windows, places = [], []
    for variant in variants:
        window = variant.interval.centred_window(arguments.window, contig_length_bp=genome.contig_lengths["chr"])
        bases, place = genome.fetch(window), variant.start_bp - window.start_bp
        windows += [bases, bases[:place] + variant.alternative_alleles[0] + bases[place + 1 :]]
        places += [place, place]
    size = max(2, arguments.batch // (arguments.window + 2) // 2 * 2)
    found = []
    for start in range(0, len(windows), size):
        batch, own = windows[start : start + size], np.array(places[start : start + size])
        for is_reverse in (False, True):
            read = list(map(reverse_complement, batch)) if is_reverse else batch
            at = torch.tensor(arguments.window - 1 - own if is_reverse else own) + 1
            inputs = tokenizer(read, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                logits = model(**inputs).logits[torch.arange(len(batch)), at][:, BASE_IDS].float()
            letters = [BASES.index(text[i - 1]) for text, i in zip(read, at.tolist(), strict=True)]
            found.append(logits.log_softmax(-1).cpu()[torch.arange(len(batch)), letters])
    return found


def rate_of(call: Callable[[], object], n_variants: int) -> float:
    start = perf_counter()
    call()
    return n_variants / (perf_counter() - start)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    location = backbone_location(arguments.backbone)
    tokenizer = AutoTokenizer.from_pretrained(location)
    dtype = getattr(torch, arguments.dtype)
    model = AutoModelForMaskedLM.from_pretrained(location, dtype=dtype).to(arguments.device).eval()
    generator = np.random.default_rng(arguments.seed)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} threads"
    print(
        f"machine: {os.cpu_count()} CPUs, {device}, {arguments.dtype}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        genome = random_genome(Path(folder), max(50_000, 4 * arguments.variants), generator)
        predictor = BasePredictor(model, tokenizer, max_tokens=arguments.batch)
        scorer = VariantScorer(predictor, genome, scores=["masked_llr"], window_bp=arguments.window)
        cases = {
            "all substitutions of each base": saturated(genome, arguments.variants),
            "one substitution of each base": scattered(genome, arguments.variants, generator),
        }
        for name, variants in cases.items():
            few = variants[: arguments.plain]
            list(scorer.score(few[:6]))  # kernels are chosen, and memory is laid out
            plain_ratios(few[:6], genome, model, tokenizer, arguments)
            rounds = [
                (
                    rate_of(lambda few=few: plain_ratios(few, genome, model, tokenizer, arguments), len(few)),
                    rate_of(lambda variants=variants: list(scorer.score(variants)), len(variants)),
                )
                for _ in range(arguments.rounds)
            ]
            plain, ours = (median(rates) for rates in zip(*rounds, strict=True))
            ratios = [fast / slow for slow, fast in rounds]
            print(f"{name}: {len(variants):,} SNVs in windows of {arguments.window} bases, both strands")
            print(f"  plain {plain:9.2f} variants/s (of {len(few)})")
            print(f"  ours  {ours:9.2f} variants/s")
            print(f"  ratio {median(ratios):9.1f} x (rounds: {min(ratios):.1f} to {max(ratios):.1f})", flush=True)


if __name__ == "__main__":
    main()
