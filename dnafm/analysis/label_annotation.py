"""Annotation of genomes by a fine-tuned classifier of bases."""

import os
from collections.abc import Callable, Sequence

import pyarrow as pa

from dnafm.analysis.annotation_models import load_base_classifier, model_files
from dnafm.analysis.annotation_work import finish, workplace
from dnafm.analysis.base_annotation import StitchedReader
from dnafm.analysis.base_transitions import read_transitions
from dnafm.analysis.label_runs import (
    ClassCounts,
    LabelAnnotation,
    LabelRun,
    LabelStrand,
    interval_table,
    write_labels,
)
from dnafm.genomics import ReferenceGenome


def annotate_labels(
    genome: str | os.PathLike,
    *,
    model: str | os.PathLike,
    window_bp: int | None = None,
    overlap_bp: int | None = None,
    strand: LabelStrand = "both",
    min_bp: int = 1,
    transitions: str | os.PathLike | None = None,
    background: str | None = None,
    omit: Sequence[str] = (),
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    max_tokens: int = 16_384,
    dtype: str = "float32",
    report: Callable[[str], object] | None = None,
) -> LabelAnnotation | pa.Table | None:
    """Give each base of a genome a class, by a fine-tuned `TokenClassification`, and return intervals.

    Classes mean the same on both strands, unless the model was trained on sequences along the strand of their gene.
    Then annotate the strands one after the other, `"forward"` and `"reverse"`: each has a tiling of its own.

    Args:
        genome: a FASTA file, plain or compressed with bgzip.
        model: folder or Hub id of the fine-tuned model.
        window_bp: bases that it reads at once; by default as many as it can.
        overlap_bp: bases that neighbouring windows share; by default half of a window. See `StitchedReader`.
        strand: `"both"` for the mean of the logits of both, place by place; or the one that the model reads.
        min_bp: shortest interval; see `with_min_length`.
        transitions: labels that it was trained on, or saved counts, for Viterbi's algorithm; see `read_transitions`
            and `decode`. By default each base has its most probable class.
        background: class of bases that no label covers; see `read_transitions`.
        omit: classes that the file leaves out.
        output: a file to write, .bed or .gff3, compressed with .gz; beside it finished chunks are kept until the end,
            so that a later call goes on.
        overwrite: replace an existing file, and chunks of other options.
        max_tokens: most tokens of a batch.
        dtype: of the weights.
        report: is told of what an earlier call had finished, as by `print`.

    Returns:
        The annotation; with an output, whose intervals may be too many for the memory, the table of its classes
        alone. On other ranks than the first, None.

    Raises:
        ValueError: an option is out of its range, the model is no classifier of bases, or labels do not fit it.
        OSError: there is no such file or checkpoint, or the output exists.
    """
    with ReferenceGenome(genome) as reference, workplace(output, overwrite=overwrite) as (state, place):
        classifier = load_base_classifier(
            model, strand=strand, dtype=dtype, max_tokens=max_tokens, device=state.device
        )
        _check_names("omit", omit, classifier.names)
        reader = StitchedReader(classifier, window_bp, overlap_bp)
        learnt = None
        if transitions is None and background is not None:
            raise ValueError(f"background is {background!r}, which is about labels. Name them by transitions.")
        if transitions is not None:
            learnt = read_transitions(transitions, classifier.names, background=background)
        if min_bp < 1:
            raise ValueError(f"min_bp is {min_bp}; an interval has at least 1 base.")
        identity = {"files": model_files(model), "dtype": dtype}
        run = LabelRun(
            reader, reference, strand=strand, output=place, model=identity, overwrite=overwrite, state=state
        )
        finish(run, "labelling", report)
        result: LabelAnnotation | pa.Table | None = None
        if run.is_main_process:
            counts = ClassCounts(run.names)
            found = counts.passing(run.intervals(transitions=learnt, min_bp=min_bp))
            if output is None:
                table = interval_table(found)
                result = LabelAnnotation(table, counts.table())
            else:
                write_labels(output, found, names=run.names, omitted=omit, overwrite=overwrite)
                result = counts.table()
        run.remove()
    return result


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{option} names {unknown[0]!r}; the classes of the model are {', '.join(known)}.")
