"""Annotation of genomes without labels: clusters of windows or bases."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

from dnafm import DNAFMTokenizer
from dnafm.analysis.annotation_colours import track_line
from dnafm.analysis.annotation_features import read_features
from dnafm.analysis.annotation_windows import AnnotationCut
from dnafm.analysis.annotation_work import finish, workplace
from dnafm.analysis.base_predictions import Strand
from dnafm.analysis.cluster_results import ClusterAnnotation
from dnafm.analysis.cluster_runs import ClusterRun
from dnafm.analysis.clustering import Clustering
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_models import model_and_tokenizer
from dnafm.analysis.mining_models import fingerprint
from dnafm.genomics import ReferenceGenome, write_bed

WINDOW_BP = 512


def annotate_clusters(
    genome: str | os.PathLike,
    *,
    model: Any = "dnafm_tiny",
    tokenizer: DNAFMTokenizer | None = None,
    unit: Literal["window", "base"] = "window",
    window_bp: int = WINDOW_BP,
    step_bp: int | None = None,
    pooling: Literal["mean", "max", "cls"] = "mean",
    layer: int = -1,
    strand: Strand = "forward",
    features: str | os.PathLike | None = None,
    feature_names: Sequence[str] | None = None,
    output: str | os.PathLike | None = None,
    keep_vectors: bool = False,
    overwrite: bool = False,
    max_tokens: int = 16_384,
    bf16: bool = False,
    dtype: str | None = None,
    write: Callable[[ClusterAnnotation], object] | None = None,
    report: Callable[[str], object] | None = None,
    **clustering: Any,
) -> ClusterAnnotation | None:
    """Embed windows or bases of a genome, cluster them, and compare the clusters with an annotation.

    Args:
        genome: a FASTA file, plain or compressed with bgzip.
        model: by name, path or Hub id, or loaded; see `dnafm.embed`.
        tokenizer: of a loaded model.
        unit: what is clustered: a window, or each base by its own vector.
        window_bp: bases that the model reads at once.
        step_bp: from one window to the next; by default that of a window, for bases half of it. Windows own the bases
            that lie deepest in them.
        pooling: of a window; see `Embedder`.
        layer: whose output is clustered; see `Embedder`.
        strand: which one the model reads, or the mean of both.
        features: a BED, GFF3 or GTF file to compare with; see `read_features`.
        feature_names: types to use of it, in the order in which they count where they overlap.
        output: a BED file to write; beside it finished chunks are kept until the end, so that a later call goes on.
        keep_vectors: keep them for a later call with another clustering.
        overwrite: replace an existing file, and chunks of other options.
        max_tokens: most tokens of a batch.
        bf16: compute in bfloat16.
        dtype: of the weights of a model by name.
        write: is given the annotation before the chunks are removed.
        report: is told of what an earlier call had finished, as by `print`.
        **clustering: fields of `Clustering`.

    Returns:
        The annotation; on other ranks than the first, None.

    Raises:
        ValueError: an option is out of its range, the annotation does not fit the genome, or nothing is known of it.
        OSError: there is no such file or checkpoint, or the output exists.
        ImportError: scikit-learn is missing.
    """
    is_base = unit == "base"
    if unit not in ("window", "base"):
        raise ValueError(f"unit is {unit!r}; it must be window or base.")
    if pooling not in ("mean", "max", "cls"):
        raise ValueError(f"pooling is {pooling!r}; a window has one vector, by mean, max or cls.")
    how = Clustering(**clustering)
    cut = AnnotationCut(window_bp, _step(step_bp, window_bp, is_base), per_base=is_base)
    with ReferenceGenome(genome) as reference, workplace(output, overwrite=overwrite) as (state, place):
        known = None if features is None else read_features(features, reference, names=feature_names)
        loaded, tokens = model_and_tokenizer(model, tokenizer, dtype=dtype)
        embedder = Embedder(
            loaded,
            tokens,
            pooling="none" if is_base else pooling,
            layers=(layer,),
            strand=strand,
            window_bp=window_bp,
            overlap_bp=0,
            max_tokens=max_tokens,
            bf16=bf16,
        )
        identity = {"encoder": fingerprint(loaded), "dtype": str(next(loaded.parameters()).dtype)}
        run = ClusterRun(embedder, reference, cut, output=place, model=identity, overwrite=overwrite, state=state)
        how.check_fits(run.n_units, embedder.width)
        finish(run, "embedding", report)
        annotation = run.annotation(how, features=known) if run.is_main_process else None
        if annotation is not None and write is not None:
            write(annotation)
        if annotation is not None and output is not None:
            write_bed(output, annotation.intervals(), track=track_line(output, "dnafm clusters"), overwrite=overwrite)
        if not keep_vectors:
            run.remove()
    return annotation


def _step(step_bp: int | None, window_bp: int, is_base: bool) -> int:
    return step_bp if step_bp is not None else max(1, window_bp // 2) if is_base else window_bp
