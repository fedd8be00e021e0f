"""Options of `dnafm annotate`."""

import argparse

from dnafm.cli.model_options import add_backbone, add_batch, add_dtype, add_strand


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dnafm annotate cluster`."""
    parser.add_argument("-o", "--output", required=True, metavar="BED", help="to write: .bed or .bed.gz")
    parser.add_argument("--table", metavar="FILE", help="of the clusters: .tsv, .csv, .parquet, .jsonl")
    parser.add_argument("--features", metavar="FILE", help="annotation to compare with: .gff, .gff3, .gtf, .bed")
    parser.add_argument(
        "--types",
        nargs="+",
        metavar="TYPE",
        help="of the features, by the type in GFF or the name in BED; where they overlap the first one counts "
        "(default: all, those with the fewest bases first)",
    )
    parser.add_argument("--enrichment", metavar="FILE", help="table of clusters against features")
    parser.add_argument("--plot", metavar="FILE", help="figure: .png or .svg")
    parser.add_argument("--plot_region", metavar="REGION", help="of the figure (default: the first 50,000 bases)")
    _add_units(parser)
    _add_clustering(parser)
    parser.add_argument(
        "--keep_vectors", action="store_true", help="keep OUTPUT.parts, for a run with another clustering"
    )
    add_backbone(parser)
    _add_reading(parser, strand="forward")


def _add_units(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unit",
        choices=("window", "base"),
        default="window",
        help="what is clustered; bases take as much room in OUTPUT.parts as vectors of theirs (default: %(default)s)",
    )
    parser.add_argument("--window", type=int, default=512, metavar="BP", help="read at once (default: %(default)s)")
    parser.add_argument(
        "--step", type=int, metavar="BP", help="from window to window (default: a window; for bases, half of one)"
    )
    parser.add_argument(
        "--pooling",
        choices=("mean", "max", "cls"),
        default="mean",
        help="of a window: mean or maximum of the bases' vectors, or that of [CLS] (default: %(default)s)",
    )
    parser.add_argument(
        "--layer", type=int, default=-1, metavar="N", help="0 is the input of the first, -1 the output (default: -1)"
    )


def _add_clustering(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--method",
        choices=("kmeans", "hdbscan"),
        default="kmeans",
        help="mini-batch k-means, or HDBSCAN, which finds the number of clusters and leaves out noise "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--clusters", type=int, default=8, metavar="N", help="number of k-means (default: %(default)s)"
    )
    parser.add_argument(
        "--min_cluster_size", type=int, default=50, metavar="N", help="units, of HDBSCAN (default: %(default)s)"
    )
    parser.add_argument(
        "--components", type=int, metavar="N", help="principal components (default: 16, or as many as there are)"
    )
    parser.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="units that clusters are learnt from (default: 100,000; of HDBSCAN 20,000)",
    )
    parser.add_argument(
        "--smooth",
        type=int,
        default=3,
        metavar="N",
        help="units of the majority filter, odd; 1 for none (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample and k-means (default: %(default)s)")


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dnafm annotate label`."""
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="to write: .bed, .gff3, or with .gz")
    parser.add_argument("--model", required=True, metavar="CHECKPOINT", help="fine-tuned TokenClassification")
    parser.add_argument("--table", metavar="FILE", help="of the classes: .tsv, .csv, .parquet, .jsonl")
    parser.add_argument("--window", type=int, metavar="BP", help="bases read at once (default: what the model reads)")
    parser.add_argument(
        "--overlap", type=int, metavar="BP", help="bases that windows share (default: half of a window)"
    )
    parser.add_argument(
        "--min",
        type=int,
        default=1,
        metavar="BP",
        help="shortest interval; shorter ones join the more probable neighbour (default: %(default)s)",
    )
    parser.add_argument(
        "--transitions",
        metavar="FILE",
        help="labels that the model was trained on, .bed or .gff3, or counts of transitions, .json; with it, the most "
        "probable path is written",
    )
    parser.add_argument(
        "--background",
        metavar="CLASS",
        help="class of bases that no label of --transitions covers (default: background, if the model has it, or they "
        "count for nothing)",
    )
    parser.add_argument("--omit", nargs="+", default=[], metavar="CLASS", help="leave out of the file")
    _add_reading(parser, strand="both")


def add_conservation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dnafm annotate conservation`."""
    from dnafm.cli.track_options import add_track_options

    parser.add_argument(
        "--window", type=int, metavar="BP", help="bases read at once (default: 1024, or as many as the model reads)"
    )
    add_track_options(parser)
    add_backbone(parser)
    _add_reading(parser, strand="both")


def _add_reading(parser: argparse.ArgumentParser, *, strand: str) -> None:
    add_strand(parser, default=strand)
    add_dtype(parser)
    add_batch(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing files, and parts of a run with other options"
    )
