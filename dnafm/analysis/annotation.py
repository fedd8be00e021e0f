"""Annotation of genomes: clusters without labels, classes by a fine-tuned model, and conservation-like tracks."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dnafm.analysis.annotation_models import model_files
from dnafm.analysis.annotation_work import finish
from dnafm.analysis.base_predictions import Strand, load_base_predictor
from dnafm.analysis.chunked_runs import process_state
from dnafm.analysis.cluster_annotation import annotate_clusters
from dnafm.analysis.label_annotation import annotate_labels
from dnafm.analysis.track_runs import TrackRun
from dnafm.genomics import ReferenceGenome

__all__ = ["annotate", "annotate_clusters", "annotate_conservation", "annotate_labels"]


@dataclass(frozen=True)
class ConservationAnnotation:
    """Tracks that were written: how many bases have a number, by the path of the file."""

    n_bases: Mapping[str, int]


def annotate(how: str, genome: str | os.PathLike, **options: Any) -> Any:
    """Annotate a genome; the options are those of `dnafm annotate`.

    Args:
        how: `"cluster"` for clusters of windows or bases, `"label"` for the classes of a fine-tuned model, or
            `"conservation"` for tracks of how well bases are predicted.
        genome: a FASTA file, plain or compressed with bgzip.
        **options: those of `annotate_clusters`, `annotate_labels` or `annotate_conservation`.

    Returns:
        What that function returns: a `ClusterAnnotation`, a `LabelAnnotation` or a `ConservationAnnotation`.

    Raises:
        ValueError: there is no such way; or see there.
        OSError: there is no such file.

    Example:

        >>> found = dnafm.annotate("cluster", "genome.fa", n_clusters=5, features="genes.gff3")
        >>> found.clusters.to_pandas(), found.information.adjusted
    """
    if how not in _WAYS:
        raise ValueError(f"how is {how!r}; it must be one of {', '.join(_WAYS)}.")
    return _WAYS[how](genome, **options)


def annotate_conservation(
    genome: str | os.PathLike,
    *,
    model: str | os.PathLike = "dnafm_tiny",
    entropy_track: str | os.PathLike | None = None,
    log_probability_track: str | os.PathLike | None = None,
    masked: bool = True,
    stride: int = 8,
    window_bp: int | None = None,
    strand: Strand = "both",
    overwrite: bool = False,
    max_tokens: int = 16_384,
    dtype: str = "float32",
    report: Callable[[str], object] | None = None,
) -> ConservationAnnotation:
    """Write how well a masked language model predicts each base of a genome as bigWig files; see `TrackRun`.

    Args:
        genome: a FASTA file, plain or compressed with bgzip.
        model: a pretrained model by name, folder or Hub id.
        entropy_track: file of the entropy of the predicted base, in bits.
        log_probability_track: file of the log-probability of the base that is there, in nats.
        masked: whether bases are hidden while they are predicted.
        stride: of hidden bases.
        window_bp: bases of a window; by default 1,024, or as many as the model reads.
        strand: which one the model reads, or the mean of both.
        overwrite: replace existing files, and chunks of other options.
        max_tokens: most tokens of a batch.
        dtype: of the weights.
        report: is told of what an earlier call had finished, as by `print`.

    Raises:
        ValueError: no file is named, or an option is out of its range.
        OSError: there is no such file or checkpoint, or a file exists.
    """
    named = {"entropy_bits": entropy_track, "log_probability": log_probability_track}
    paths = {name: path for name, path in named.items() if path is not None}
    state = process_state()
    with ReferenceGenome(genome) as reference:
        predictor = load_base_predictor(model, strand=strand, dtype=dtype, max_tokens=max_tokens, device=state.device)
        run = TrackRun(
            predictor,
            reference,
            paths=paths,
            model={"files": model_files(model), "dtype": dtype},
            masked=masked,
            stride=stride,
            window_bp=window_bp,
            overwrite=overwrite,
            state=state,
        )
        finish(run, "tracks", report)
        return ConservationAnnotation(run.write())


_WAYS: dict[str, Callable[..., Any]] = {
    "cluster": annotate_clusters,
    "label": annotate_labels,
    "conservation": annotate_conservation,
}
