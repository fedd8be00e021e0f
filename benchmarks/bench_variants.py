"""Variants per second of `dnafm score`, and bases per second of `dnafm ism`, beside plain transformers.

Same model, windows, batches of tokens, dtype and machine; both strands. The plain ways are what is written by hand:

- score: an unmasked forward for the reference window and one for the alternative window of every variant and strand,
  and log p(alternative | its window) - log p(reference | its window). That is 2 forwards for each variant and strand,
  where ours are one masked forward for each *position* and strand. So passes are saved 6 : 1 where all substitutions
  of a base are asked for, and 2 : 1 where one is. The scores are other ones: unmasked against masked ratios.
- ism, unmasked pairs: the same 2 forwards for each of the three substitutions of a base.
- ism, masked: one masked forward for each base and strand, as ours. The scores are the same, and so is the number of
  passes: what differs is that our head is computed at the masked base alone.

The variants are cut into as many parts as there are rounds, and each part is done in turn by ours and, its first
variants, by the plain way: as many as fill a batch at least, because batches of other sizes have other rates. Rates
are medians over the rounds; so are ratios, of the rates of one round. On a CPU seconds are those of the processor,
which others on the machine hardly change.
"""

import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.analysis.base_predictions import BASE_IDS, BasePredictor
from dnafm.analysis.mutagenesis import mutate
from dnafm.analysis.regions import interval_regions
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.checkpoints import backbone_location
from dnafm.genomics import Interval, ReferenceGenome, Variant, reverse_complement
from dnafm.genomics.sequences import BASES

# What is timed, and how many items it does.
Call = tuple[Callable[[], object], int]


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="dnafm_tiny", help="model (default: %(default)s)")
    parser.add_argument("--n_variants", type=int, default=10_000, help="SNVs of ours (default: %(default)s)")
    parser.add_argument("--n_bases", type=int, default=600, help="bases of ism of ours (default: %(default)s)")
    parser.add_argument(
        "--plain_share", type=float, default=0.05, help="of these, done in the plain way, too (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="parts, each done by both (default: %(default)s)")
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


def substitutions(genome: ReferenceGenome, start_bp: int, n_bases: int) -> list[Variant]:
    """All three substitutions of each base from one on, a record each."""
    return [
        Variant("chr", start_bp + offset, reference, (base,))
        for offset, reference in enumerate(genome.fetch_bases("chr", start_bp, start_bp + n_bases))
        for base in BASES.replace(reference, "")
    ]


def scattered(genome: ReferenceGenome, n_variants: int, generator: np.random.Generator) -> list[Variant]:
    """One substitution of as many bases, in the order of the genome."""
    length_bp = genome.contig_lengths["chr"]
    variants = []
    for start_bp in np.sort(generator.choice(length_bp, n_variants, replace=False)).tolist():
        reference = genome.fetch_bases("chr", start_bp, start_bp + 1)
        variants.append(Variant("chr", start_bp, reference, (BASES.replace(reference, "")[start_bp % 3],)))
    return variants


class Plain:
    """What is written by hand: windows from the genome, batches, logits, and the tokens that are wanted."""

    def __init__(self, model: Any, tokenizer: Any, genome: ReferenceGenome, arguments: Namespace):
        self.model, self.tokenizer, self.genome, self.window_bp = model, tokenizer, genome, arguments.window
        self.n_windows, self.share = max(1, arguments.batch // (arguments.window + 2)), arguments.plain_share

    def n_items(self, n_own: int, *, windows_per_item: int) -> int:
        """How many of our items are done: a share, but a batch at least where there are as many."""
        return min(n_own, max(round(n_own * self.share), -(-self.n_windows // windows_per_item)))

    def window(self, start_bp: int) -> tuple[str, int]:
        """The bases around one, and its place in them."""
        base = Interval("chr", start_bp, start_bp + 1)
        window = base.centred_window(self.window_bp, contig_length_bp=self.genome.contig_lengths["chr"])
        return self.genome.fetch(window), start_bp - window.start_bp

    def unmasked_pairs(self, variants: Sequence[Variant]) -> np.ndarray:
        """Log-likelihood ratio of each variant, of the bases as they are in the two windows; mean of the strands."""
        windows, places = [], []
        for variant in variants:
            bases, place = self.window(variant.start_bp)
            windows += [bases, bases[:place] + variant.alternative_alleles[0] + bases[place + 1 :]]
            places += [place, place]
        rows = self._read(windows, places, is_masked=False)
        own = [BASES.index(window[place]) for window, place in zip(windows, places, strict=True)]
        of_windows = rows[np.arange(len(rows)), own]
        return of_windows[1::2] - of_windows[::2]

    def masked_effects(self, start_bp: int, n_bases: int) -> np.ndarray:
        """(bases, 4) log-likelihood ratios of all substitutions, each base masked; mean of the strands."""
        windows, places = zip(*map(self.window, range(start_bp, start_bp + n_bases)), strict=True)
        rows = self._read(windows, places, is_masked=True)
        own = [BASES.index(window[place]) for window, place in zip(windows, places, strict=True)]
        return rows - rows[np.arange(len(rows)), own][:, None]

    def _read(self, windows: Sequence[str], places: Sequence[int], *, is_masked: bool) -> np.ndarray:
        """(windows, 4) log-probabilities of the base at one place of each window; mean of the strands."""
        rows = []
        for start in range(0, len(windows), self.n_windows):
            batch, own = windows[start : start + self.n_windows], np.array(places[start : start + self.n_windows])
            reverse = self._forward(list(map(reverse_complement, batch)), self.window_bp - 1 - own, is_masked)
            # The other strand's bases in reverse are A for T, C for G.
            rows.append((self._forward(batch, own, is_masked) + reverse[:, ::-1]) / 2)
        return np.concatenate(rows)

    def _forward(self, batch: Sequence[str], places: np.ndarray, is_masked: bool) -> np.ndarray:
        inputs = self.tokenizer(batch, return_tensors="pt")
        # Token i + 1 is base i.
        rows, tokens = torch.arange(len(batch)), torch.tensor(places) + 1
        if is_masked:
            inputs["input_ids"][rows, tokens] = self.tokenizer.mask_token_id
        with torch.inference_mode():
            logits = self.model(**inputs.to(self.model.device)).logits
        return logits[rows, tokens][:, BASE_IDS].float().log_softmax(-1).cpu().numpy()


def rate_of(call: Callable[[], object], n_items: int, clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return n_items / (clock() - start)


def compare(title: str, unit: str, calls: Sequence[tuple[Call, Call]], arguments: Namespace) -> None:
    """Time the plain call and ours of each round, in turn, and print rates and ratios."""
    # Others on the machine take time of ours, but not of the processor's for us.
    clock = process_time if arguments.device == "cpu" else perf_counter
    rates = []
    for number, both in enumerate(calls):
        # Whoever is first changes, so that neither always finds the warmer machine.
        order = both if number % 2 else both[::-1]
        timed = {call: rate_of(*call, clock) for call in order}
        rates.append([timed[call] for call in both])
    plain, ours = (median(column) for column in zip(*rates, strict=True))
    ratios = [fast / slow for slow, fast in rates]
    n_plain, n_ours = (sum(call[1] for call in column) for column in zip(*calls, strict=True))
    print(f"{title}, {len(calls)} rounds")
    print(f"  plain {plain:9.2f} {unit}/s ({n_plain:,} {unit})")
    print(f"  ours  {ours:9.2f} {unit}/s ({n_ours:,} {unit})")
    print(f"  ratio {median(ratios):9.2f} (rounds: {min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def compare_scores(
    title: str, variants: Sequence[Variant], scorer: VariantScorer, plain: Plain, arguments: Namespace
) -> None:
    calls = []
    for part in np.array_split(np.array(variants, dtype=object), arguments.rounds):
        few = part[: plain.n_items(len(part), windows_per_item=2)]
        calls.append(
            (
                (lambda few=few: plain.unmasked_pairs(few), len(few)),
                (lambda part=part: list(scorer.score(part)), len(part)),
            )
        )
    compare(f"score, {title}", "variants", calls, arguments)


def compare_mutagenesis(predictor: BasePredictor, plain: Plain, arguments: Namespace) -> None:
    n_bases = max(1, arguments.n_bases // arguments.rounds)
    starts = [plain.window_bp + number * n_bases for number in range(arguments.rounds)]
    n_pairs, n_masked = (plain.n_items(n_bases, windows_per_item=n) for n in (6, 1))

    def ours(start_bp: int) -> np.ndarray:
        intervals = [Interval("chr", start_bp, start_bp + n_bases)]
        (region,) = interval_regions(plain.genome, intervals, window_bp=arguments.window)
        (result,) = mutate(predictor, [region], window_bp=arguments.window)
        return result.effects

    def by_pairs(start_bp: int) -> np.ndarray:
        return plain.unmasked_pairs(substitutions(plain.genome, start_bp, n_pairs))

    def by_masks(start_bp: int) -> np.ndarray:
        return plain.masked_effects(start_bp, n_masked)

    for title, by_hand, n_few in (
        ("unmasked pairs", by_pairs, n_pairs),
        ("masked forwards by hand", by_masks, n_masked),
    ):
        calls = [((partial(by_hand, start), n_few), (partial(ours, start), n_bases)) for start in starts]
        compare(f"ism against {title}", "bases", calls, arguments)
    difference = np.abs(ours(starts[0])[:n_masked] - by_masks(starts[0])).max()
    print(f"  the same scores: they differ by {difference:.1e} nats at most")


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
        f"transformers {transformers.__version__}; windows of {arguments.window} bases, both strands"
    )
    with tempfile.TemporaryDirectory() as folder:
        n_genome = max(50_000, 4 * arguments.n_variants, 4 * (arguments.n_bases + arguments.window))
        genome = random_genome(Path(folder), n_genome, generator)
        predictor = BasePredictor(model, tokenizer, max_tokens=arguments.batch)
        scorer = VariantScorer(predictor, genome, scores=["masked_llr"], window_bp=arguments.window)
        plain = Plain(model, tokenizer, genome, arguments)
        saturated = substitutions(genome, n_genome // 4, -(-arguments.n_variants // 3))[: arguments.n_variants]
        # Kernels are chosen, and memory is laid out.
        list(scorer.score(saturated[:6]))
        plain.unmasked_pairs(saturated[:6])
        compare_mutagenesis(predictor, plain, arguments)
        compare_scores("all substitutions of each base", saturated, scorer, plain, arguments)
        one_each = scattered(genome, max(1, arguments.n_variants // 10), generator)
        compare_scores("one substitution of each base", one_each, scorer, plain, arguments)


if __name__ == "__main__":
    main()
