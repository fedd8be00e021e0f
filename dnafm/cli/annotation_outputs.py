"""What `dnafm annotate` writes and prints, and what is checked of it before weights are loaded."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnafm.cli.model_options import check_batch
from dnafm.cli.output_files import check_extension, check_new_file

if TYPE_CHECKING:
    from dnafm.analysis.cluster_results import ClusterAnnotation
    from dnafm.genomics import Interval

# Bases of the figure, where no region is named.
PLOTTED_BP = 50_000


def check_cluster_outputs(args: argparse.Namespace) -> None:
    """Check files and their extensions.

    Raises:
        ValueError: an extension is unknown, or an option is about an annotation, and none is named.
        OSError: a file exists, or its folder does not.
    """
    from dnafm.reports.figure_files import figure_extension

    check_batch(args.batch)
    check_extension(Path(args.output), (".bed", ".bed.gz"))
    for option in ("types", "enrichment"):
        if getattr(args, option) is not None and args.features is None:
            raise ValueError(f"--{option} is about an annotation. Name it by --features.")
    if args.plot_region is not None and args.plot is None:
        raise ValueError(f"--plot_region {args.plot_region} is shown in a figure. Name it by --plot.")
    if args.plot is not None:
        figure_extension(args.plot)
    _check_tables(args, "table", "enrichment")
    _check_new(args, "output", "table", "enrichment", "plot")


def check_label_outputs(args: argparse.Namespace) -> None:
    """Check files and their extensions; see `check_cluster_outputs`."""
    from dnafm.analysis.label_runs import EXTENSIONS

    check_batch(args.batch)
    check_extension(Path(args.output), EXTENSIONS)
    _check_tables(args, "table")
    _check_new(args, "output", "table")


def plotted_region(args: argparse.Namespace) -> "Interval | None":
    """Return the region of the figure, or None without one.

    Raises:
        ValueError: it is not in the genome.
    """
    from dnafm.analysis.annotation_windows import annotated_lengths
    from dnafm.genomics import Interval, ReferenceGenome, parse_region

    if args.plot is None:
        return None
    with ReferenceGenome(args.genome) as genome:
        lengths = annotated_lengths(genome)
    if args.plot_region is not None:
        return parse_region(args.plot_region, contig_lengths=lengths)
    contig, n_bases = next(iter(lengths.items()))
    return Interval(contig, 0, min(n_bases, PLOTTED_BP))


def write_clusters(args: argparse.Namespace, annotation: "ClusterAnnotation", region: "Interval | None") -> None:
    """Write the tables and the figure."""
    from dnafm.reports.annotation_figures import plot_clusters

    _write_table(args.table, annotation.clusters, overwrite=args.overwrite)
    _write_table(args.enrichment, annotation.enrichment, overwrite=args.overwrite)
    if region is not None:
        plot_clusters(annotation, args.plot, region=region)


def print_clusters(args: argparse.Namespace, annotation: "ClusterAnnotation") -> None:
    """Print the clusters, and what they tell about the annotation."""
    for row in annotation.clusters.to_pylist():
        print(
            f"{row['cluster']:12} {row['share']:6.1%} of the genome   GC {row['gc']:.3f}   "
            f"3-periodicity {row['periodicity_3']:.2f}{_strongest(annotation, row['cluster'])}"
        )
    if (information := annotation.information) is not None:
        adjusted = "not defined" if math.isnan(information.adjusted) else f"{information.adjusted:.4f}"
        print(f"Mutual information with {args.features}: {information.nats:.4f} nats; adjusted: {adjusted}.")
        if math.isnan(information.adjusted):
            print("All windows have one cluster or one class of the annotation, which tells nothing.")
    print(f"Clusters are in {args.output}.")


def print_labels(args: argparse.Namespace, classes: Any) -> None:
    """Write the table of the classes, and print it."""
    _write_table(args.table, classes, overwrite=args.overwrite)
    for row in classes.to_pylist():
        left_out = "   (left out)" if row["class"] in args.omit else ""
        print(
            f"{row['class']:16} {row['n_intervals']:>9,} intervals {row['n_bases']:>13,} bases {row['share']:7.2%}"
            f"{left_out}"
        )
    print(f"Intervals are in {args.output}.")


def _strongest(annotation: "ClusterAnnotation", cluster: str) -> str:
    """Return the type of feature that a cluster is enriched for most surely, if any."""
    if annotation.enrichment is None:
        return ""
    rows = [row for row in annotation.enrichment.to_pylist() if row["cluster"] == cluster]
    best = min(rows, key=lambda row: (row["adjusted_p_value"], -row["fold"]), default=None)
    if best is None or not best["adjusted_p_value"] < 0.05:
        return ""
    return f"   {best['feature']} x {best['fold']:.2f}"


def _write_table(path: str | None, table: Any, *, overwrite: bool) -> None:
    from dnafm.data.prediction_tables import PredictionWriter

    if path is not None:
        with PredictionWriter(path, overwrite=overwrite) as writer:
            writer.write_chunk(0, table)


def _check_tables(args: argparse.Namespace, *options: str) -> None:
    from dnafm.data.prediction_tables import EXTENSIONS

    for option in options:
        if (path := getattr(args, option)) is not None:
            check_extension(Path(path), EXTENSIONS, option=f"--{option}")


def _check_new(args: argparse.Namespace, *options: str) -> None:
    named = [(option, path) for option in options if (path := getattr(args, option)) is not None]
    for place, (option, path) in enumerate(named):
        check_new_file(Path(path), overwrite=args.overwrite)
        for other, same in named[:place]:
            if same == path:
                raise ValueError(f"--{other} and --{option} are both {path}. Name two files.")
