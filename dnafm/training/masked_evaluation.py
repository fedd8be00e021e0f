"""How well masked bases are predicted: nats per base and accuracy over A, C, G, T."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from dnafm.data import EncodedGenome, GenomeWindows
from dnafm.tokenization_dnafm import VOCABULARY

BASE_IDS = [VOCABULARY.index(base) for base in "ACGT"]


def prediction_sums(logits: Tensor, labels: Tensor) -> Tensor:
    """Add up what the metrics are made of.

    The probabilities are those of the bases alone: the softmax is over the logits of A, C, G and T.

    Args:
        logits: (batch, length, vocabulary).
        labels: (batch, length), the base at masked positions and a negative number elsewhere.

    Returns:
        (batch, 3) float32: of each sequence the cross-entropy in nats, the number of bases predicted right, and the
        number of masked bases.
    """
    base_ids = torch.tensor(BASE_IDS, device=logits.device)
    log_probabilities = logits[..., base_ids].float().log_softmax(dim=-1)
    is_label = labels[..., None] == base_ids
    is_masked = is_label.any(dim=-1)
    nats = -(log_probabilities * is_label).sum(dim=(1, 2))
    is_right = (log_probabilities.argmax(dim=-1) == is_label.int().argmax(dim=-1)) & is_masked
    return torch.stack([nats, is_right.sum(dim=1).float(), is_masked.sum(dim=1).float()], dim=1)


def masked_base_metrics(evaluation: Any) -> dict[str, float]:
    """Compute the metrics of rows of `prediction_sums`, as `compute_metrics` of `transformers.Trainer`.

    Args:
        evaluation: a `transformers.EvalPrediction` whose predictions are (sequences, 3).

    Returns:
        `nats_per_base`, 0 at best and ln 4 = 1.386 by guessing; `accuracy`, in [0, 1]; and `masked_bases`, their
        number.
    """
    nats, n_right, n_masked = np.asarray(evaluation.predictions, dtype=np.float64).sum(axis=0)
    return {"nats_per_base": nats / n_masked, "accuracy": n_right / n_masked, "masked_bases": n_masked}


def evaluation_windows(
    genomes: Sequence[EncodedGenome], context_length: int, *, held_out: Sequence[Any], n_windows: int, **options: Any
) -> dict[str, Subset]:
    """Choose windows of the held-out regions of each genome that has any, evenly spaced.

    Args:
        genomes: from `open_genomes`; the name of a species is that of its file up to the first point.
        context_length: as in `GenomeWindows`.
        held_out: regions, as in `GenomeWindows`.
        n_windows: most windows of a species.
        **options: further arguments of `GenomeWindows`.

    Raises:
        ValueError: two files give the same species name.
    """
    windows = GenomeWindows(genomes, context_length, held_out=held_out, part="evaluation", **options)
    first_window = np.append(0, np.cumsum(windows.n_windows_of_genomes))
    chosen: dict[str, Subset] = {}
    for genome, first, end in zip(genomes, first_window[:-1], first_window[1:], strict=True):
        if first == end:
            continue
        species = species_name(genome.fasta_path)
        if species in chosen:
            raise ValueError(f"Two files are named {species!r}, a species; the other one is {genome.fasta_path}.")
        indices = np.linspace(first, end, min(n_windows, end - first), endpoint=False).astype(int)
        chosen[species] = Subset(windows, indices.tolist())
    return chosen


def species_name(fasta_path: str) -> str:
    """Return a file's name up to the first point."""
    return fasta_path.replace("\\", "/").rsplit("/", 1)[-1].split(".", 1)[0]
