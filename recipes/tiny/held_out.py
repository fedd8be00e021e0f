"""Predict masked bases of the held-out regions: a checkpoint against two-sided tables of the training regions.

    python recipes/tiny/held_out.py --checkpoint dnafm/assets/tiny --genomes genomes/

A table sees the five bases on either side, all of them known; the checkpoint sees windows in which 15 % of the bases
are masked, or, as in its training, 80 % of those are, 10 % are any base and 10 % stay. Nats per base are over A, C, G
and T.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import yaml
from torch.utils.data import Subset
from tqdm import tqdm

from dnafm import DNAFMForMaskedLM
from dnafm.data import EncodedGenome, GenomeWindows, MaskedLanguageModelCollator, open_genomes
from dnafm.training.context_table import ContextTable, window_sequences
from dnafm.training.masked_evaluation import evaluation_windows, prediction_sums, species_name

BATCH_TOKENS = 8_192
MAX_UNKNOWN = 0.1
COLLATORS = (
    MaskedLanguageModelCollator(mask_share=1.0, random_share=0.0),
    MaskedLanguageModelCollator(),
)


def model_nats(model: DNAFMForMaskedLM, windows: Subset, collator: MaskedLanguageModelCollator) -> tuple[float, float]:
    """Return nats per base and accuracy."""
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in _batches(windows, collator):
        labels = batch.pop("labels")
        with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16):
            sums += prediction_sums(model(**batch).logits, labels).sum(dim=0).double()
    nats, n_right, n_masked = sums.tolist()
    return nats / n_masked, n_right / n_masked


def _batches(windows: Subset, collator: MaskedLanguageModelCollator) -> Iterator[dict]:
    size = max(1, BATCH_TOKENS // len(windows[0]["input_ids"]))
    for start in tqdm(range(0, len(windows), size), leave=False, disable=None):
        yield collator([windows[i] for i in range(start, min(start + size, len(windows)))])


def table_nats(genome: EncodedGenome, held_out: Sequence[str]) -> float:
    """Return nats per base of a table fitted on all that is not held out of a genome."""
    whole = [
        window_sequences(GenomeWindows([genome], 1 << 40, held_out=held_out, part=part))
        for part in ("training", "evaluation")
    ]
    return ContextTable().fit(whole[0]).evaluate(whole[1])["nats_per_base"]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the model")
    parser.add_argument("--genomes", type=Path, required=True, help="folder that genomes.py writes")
    parser.add_argument("--context", type=int, default=258, help="tokens of a window; default: %(default)s")
    parser.add_argument("--windows", type=int, default=2000, help="most windows of a species; default: %(default)s")
    arguments = parser.parse_args()

    corpus = yaml.safe_load((arguments.genomes / "corpus.yaml").read_text())
    genomes = open_genomes(corpus["train_files"])
    model = DNAFMForMaskedLM.from_pretrained(arguments.checkpoint).eval()
    of_species = evaluation_windows(
        genomes,
        arguments.context,
        held_out=corpus["held_out"],
        n_windows=arguments.windows,
        max_unknown=MAX_UNKNOWN,
    )
    training = GenomeWindows(genomes, arguments.context, held_out=corpus["held_out"])
    print("| held out of | windows | table 5 + 5 | masked | accuracy | 80/10/10 | accuracy |")
    print("|---|---|---|---|---|---|---|")
    for genome, n_training in zip(genomes, training.n_windows_of_genomes, strict=True):
        species = species_name(genome.fasta_path)
        if species not in of_species:
            continue
        held_out = [region for region in corpus["held_out"] if region.startswith(f"{species}.")]
        table = f"{table_nats(genome, held_out):.4f}" if n_training else "-"
        windows = of_species[species]
        cells = [f"{value:.4f}" for collator in COLLATORS for value in model_nats(model, windows, collator)]
        print(f"| {species} | {len(windows):,} | {table} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
