"""`dnafm annotate`: functional elements of genomes, by clusters, by a fine-tuned model, or by how well it predicts."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnafm.analysis.cluster_results import ClusterAnnotation

DESCRIPTION = """\
Annotate a genome in one of three ways; `dnafm annotate WAY --help` tells more.

  dnafm annotate cluster genome.fa -o clusters.bed --features genes.gff3 --table clusters.tsv
  dnafm annotate label genome.fa --model runs/genes -o genes.gff3 --min 30
  dnafm annotate conservation genome.fa --log_probability_track genome.bw"""

CLUSTER = """\
Cluster the windows or the bases of a genome by their vectors, without labels, and compare the clusters with an
annotation.

  dnafm annotate cluster genome.fa.gz -o clusters.bed
  dnafm annotate cluster genome.fa -o clusters.bed --features genes.gff3 --types CDS tRNA rRNA \\
      --table clusters.tsv --enrichment enrichment.tsv --plot clusters.png --plot_region chr1:1-50000
  torchrun --nproc_per_node 8 --module dnafm annotate cluster genome.fa -o clusters.bed --backbone dnafm

Vectors are standardised, reduced to principal components and clustered, all learnt from a random sample; then a
majority filter smooths the clusters along each contig. Clusters are numbered by size, and a number has one colour. The
intervals of the BED file tile the contigs; windows of which more than half is unknown are `unknown`.

outputs:
  -o            BED9: runs of windows of a cluster
  --table       of each cluster: colour, units, intervals, bases, share of the genome, GC, and periodicity_3, the power
                at period 3 over the mean power in pieces of 150 bases: 1 at random, more in coding sequence
  --enrichment  of each cluster and type of feature: windows with both, fold, odds ratio, p-value of Fisher's exact
                test for more than expected, adjusted by Benjamini and Hochberg. Neighbouring windows are not
                independent, so p-values are too small: they rank
  --plot        tracks of a region, the annotation above, and the first two components by cluster and by feature
Finished chunks are in OUTPUT.parts until the end; a run that was interrupted goes on when it is started again."""

LABEL = """\
Give each base of a genome a class, by a fine-tuned TokenClassification.

  dnafm annotate label genome.fa --model runs/genes -o genes.gff3
  dnafm annotate label genome.fa --model runs/genes -o genes.bed --transitions train.bed --background intergenic
  dnafm annotate label genome.fa --model runs/genes -o plus.bed --strand forward

Contigs are read in overlapping windows, and what these say about a base is averaged, with the more weight the deeper
it lies in a window. Intervals tile the contigs, unless --omit leaves classes out. Their score is the mean probability
of the class, in BED of 1,000, in GFF3 of 1.

With --transitions the classes are those of the most probable path by Viterbi's algorithm, whose costs of going from
one class to the next are counted in the labels that the model was trained on. Without, each base has its most
probable class.

--strand both averages the two strands, for classes that mean the same on both. Of a model that was trained on
sequences along their genes, annotate the strands one after the other, each to a file of its own.

Finished chunks are in OUTPUT.parts until the end; a run that was interrupted goes on when it is started again. Under
torchrun, processes share the chunks."""

CONSERVATION = """\
Write how well a masked language model predicts each base as bigWig files: bases that it is sure of are often
conserved.

  dnafm annotate conservation genome.fa --log_probability_track log_probability.bw --entropy_track entropy.bw"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm annotate`."""
    from dnafm.cli.annotation_options import add_cluster_options, add_conservation_options, add_label_options

    parser = subparsers.add_parser(
        "annotate", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="WAY", help="cluster, label or conservation")
    for name, description, add in (
        ("cluster", CLUSTER, add_cluster_options),
        ("label", LABEL, add_label_options),
        ("conservation", CONSERVATION, add_conservation_options),
    ):
        way = ways.add_parser(name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        way.add_argument("genome", help="a FASTA file, plain or compressed with bgzip")
        add(way)
        way.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback")


def run(args: argparse.Namespace) -> None:
    """Annotate as the arguments say."""
    from dnafm.cli.console import distributed_run
    from dnafm.training.progress import quiet_transformers

    way = {"cluster": _cluster, "label": _label, "conservation": _conservation}[args.way]
    with distributed_run(), quiet_transformers(keep_warnings=True):
        way(args)


def _cluster(args: argparse.Namespace) -> None:
    from dnafm.analysis.cluster_annotation import annotate_clusters
    from dnafm.cli.annotation_outputs import check_cluster_outputs, plotted_region, print_clusters, write_clusters

    check_cluster_outputs(args)
    region = plotted_region(args)

    def write(annotation: "ClusterAnnotation") -> None:
        write_clusters(args, annotation, region)
        print_clusters(args, annotation)

    annotate_clusters(
        args.genome,
        model=args.backbone,
        unit=args.unit,
        window_bp=args.window,
        step_bp=args.step,
        pooling=args.pooling,
        layer=args.layer,
        features=args.features,
        feature_names=args.types,
        keep_vectors=args.keep_vectors,
        write=write,
        method=args.method,
        n_clusters=args.clusters,
        min_cluster_size=args.min_cluster_size,
        n_components=args.components,
        sample=args.sample,
        smooth=args.smooth,
        seed=args.seed,
        **_shared(args),
    )


def _label(args: argparse.Namespace) -> None:
    from dnafm.analysis.label_annotation import annotate_labels
    from dnafm.cli.annotation_outputs import check_label_outputs, print_labels

    check_label_outputs(args)
    classes: Any = annotate_labels(
        args.genome,
        model=args.model,
        window_bp=args.window,
        overlap_bp=args.overlap,
        min_bp=args.min,
        transitions=args.transitions,
        background=args.background,
        omit=args.omit,
        **_shared(args),
    )
    if classes is not None:
        print_labels(args, classes)


def _conservation(args: argparse.Namespace) -> None:
    from dnafm.analysis.annotation import annotate_conservation
    from dnafm.cli.model_options import check_batch
    from dnafm.cli.track_options import check_track_options, track_paths

    if not track_paths(args):
        raise ValueError("There is nothing to write. Name a file by --entropy_track or --log_probability_track.")
    check_track_options(args)
    check_batch(args.batch)
    found = annotate_conservation(
        args.genome,
        model=args.backbone,
        entropy_track=args.entropy_track,
        log_probability_track=args.log_probability_track,
        masked=args.track_scores != "unmasked",
        stride=args.stride,
        window_bp=args.window,
        strand=args.strand,
        overwrite=args.overwrite,
        max_tokens=args.batch,
        dtype=args.dtype,
        report=print,
    )
    for path, n_bases in found.n_bases.items():
        print(f"{n_bases:,} bases have a number in {path}.")


def _shared(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "output": args.output,
        "strand": args.strand,
        "overwrite": args.overwrite,
        "max_tokens": args.batch,
        "dtype": args.dtype,
        "report": print,
    }
