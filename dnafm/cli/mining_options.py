"""The options of `dnafm mine`."""

import argparse

from dnafm.cli.model_options import add_batch, add_contig_aliases

DESCRIPTION = """\
Find the places of genomes that resemble what you have. Windows of genomes are embedded and kept in a store; sequences
are looked up in it, by the cosine of their vectors.

  dnafm mine index ecoli.fa.gz -o store
  dnafm mine index salmonella.fna.gz -o store                                     more genomes, at any time
  dnafm mine query store --fasta genes.fa -k 20 -o hits.bed
  dnafm mine query store --bed genes.bed --fasta ecoli.fa -o hits.parquet --exclude_self --merge 0
  dnafm mine classify store --model runs/promoters --target promoter -k 500 -o promoters.bed
  dnafm mine info store

`dnafm mine ACTION --help` tells more. Needs pip install 'dnafm[mining]'.
"""
INDEX = """\
Cut genomes into windows, embed them, and add them to a store, which is made where there is none. A window starts every
--step bases; the last one is shifted so that it ends with its contig, and a shorter contig is one window. Windows with
more than half of their bases unknown are skipped. What lies between two windows is found less often than a window: a
smaller --step finds more, and takes longer. A store keeps the options that it was made with: later genomes need none.

  dnafm mine index ecoli.fa.gz salmonella.fna.gz -o store
  torchrun --nproc_per_node 8 --module dnafm mine index hg38.fa -o store --backbone dnafm --dtype bfloat16
  dnafm mine index ecoli.fa -o s3://bucket/store

All genomes are read and checked first. A run that was interrupted goes on when it is started again with the same
options. Until a genome is complete, its windows are in CHECKSUM.parts in the folder of the store (for a store that is
elsewhere, in the working directory), and then they are added at once; the disk needs room for both. Object stores are
those of LanceDB, with credentials in the environment as it reads them.
"""
QUERY = """\
Write the windows of a store whose vectors are the nearest to those of sequences, ranked by cosine.

  dnafm mine query store --fasta genes.fa -k 20 -o hits.bed
  dnafm mine query store --bed genes.bed --fasta ecoli.fa -o hits.tsv --exclude_self
  dnafm mine query store --sequence ATGAAACGCATTAGCACC... -o hits.parquet --min_score 0.95

A longer query than the store's windows is cut as genomes are, and the best cosine of a place counts; a shorter one is
embedded as it is. On the strand - it is the reverse complement of the place that resembles the query. Unrelated
windows have high cosines, too: how much is a hit, ranks and the cosines of other queries tell.

outputs:
  .bed                       contig, start, end, id of the query, 1000 * cosine, strand; ranked within each query
  .parquet .tsv .csv .jsonl  query_id, rank (from 1), genome, contig, start_bp, end_bp (from 0), strand, cosine; text
                             with .gz, too
"""
CLASSIFY = """\
Write the windows of genomes that a fine-tuned model ranks the highest: by the probability of a class, or by a number.

  dnafm mine classify store --model runs/promoters --target promoter -k 500 -o promoters.bed
  dnafm mine classify ecoli.fa --model runs/promoters --target promoter -k 500 -o promoters.tsv --window 256 --step 64

Of a store, the windows are those that it has, and their bases are read from the files that were added, or from those
of --fasta, wherever they are now. Outputs are those of `dnafm mine query`, with the target for the query, and
`probability` or `value` for the cosine; in BED a probability of 1 has the score 1000, and so has the highest number.
"""
INFO = "Print what is in a store: the model and the options that it was made with, and its genomes."


def add_actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Add the actions with their options, and return them by name."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{index,query,classify,info}")
    adders = {"index": _add_index, "query": _add_query, "classify": _add_classify, "info": _add_info}
    texts = {"index": INDEX, "query": QUERY, "classify": CLASSIFY, "info": INFO}
    for name, add in adders.items():
        add(actions.add_parser(name, description=texts[name], formatter_class=argparse.RawDescriptionHelpFormatter))
    return dict(actions.choices)


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("genomes", nargs="+", metavar="GENOME", help="FASTA files, plain, gzip or bgzip")
    parser.add_argument(
        "-o", "--output", required=True, metavar="STORE", help="a folder, or a place such as s3://bucket/store"
    )
    parser.add_argument(
        "--genome_name", nargs="+", metavar="NAME", help="one for each genome (default: the names of the files)"
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="pretrained model: dnafm (7B), dnafm_300m, dnafm_tiny (bundled), a folder or a Hub id "
        "(default: the store's, or dnafm_tiny)",
    )
    parser.add_argument("--window", type=int, metavar="BP", help="bases of a window (default: the store's, or 1024)")
    parser.add_argument(
        "--step", type=int, metavar="BP", help="from one window to the next (default: the store's, or half a window)"
    )
    parser.add_argument(
        "--strand",
        choices=("forward", "both"),
        help="whose windows are embedded; with forward, queries look for both (default: the store's, or forward)",
    )
    parser.add_argument(
        "--layer",
        type=int,
        metavar="N",
        help="0 is the input of the first layer, -1 the output of the last (default: the store's, or -1)",
    )
    parser.add_argument(
        "--pooling",
        choices=("max", "mean", "cls"),
        help="maximum of the bases' vectors, which finds mutated copies more often, their mean, or that of [CLS] "
        "(default: the store's, or max)",
    )
    parser.add_argument(
        "--vector_dtype",
        choices=("float32", "float16"),
        help="of the vectors on the disk (default: the store's, or float32)",
    )
    _add_computation(parser, dtype_default="the store's, or float32")
    parser.add_argument(
        "--index",
        choices=("auto", "none", "ivf"),
        default="auto",
        help="approximate search: auto makes an IVF index from 100,000 windows on and keeps it up to date, ivf makes "
        "it anew, none removes it (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="begin anew where a run with other options stopped")


def _add_query(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", help="of `dnafm mine index`")
    parser.add_argument("--fasta", metavar="FILE", help="queries; with --bed, the genome of the intervals")
    parser.add_argument("--bed", metavar="FILE", help="queries: intervals, each read along its own strand")
    parser.add_argument("--sequence", nargs="+", metavar="DNA", help="queries, as they are")
    parser.add_argument(
        "--duplicate_ids",
        choices=("error", "number"),
        help="what becomes of an id that an earlier query has; number: NAME_2, NAME_3 (default: error; of intervals "
        "number)",
    )
    parser.add_argument("-k", type=int, default=20, metavar="N", help="most hits of a query (default: %(default)s)")
    _add_hits(parser, score="cosine")
    parser.add_argument("--contig", nargs="+", default=[], metavar="NAME", help="search these contigs alone")
    parser.add_argument(
        "--exclude_self",
        action="store_true",
        help="leave out what overlaps the query's own place; --fasta must be a genome of the store",
    )
    parser.add_argument(
        "--strand",
        choices=("forward", "both"),
        help="look for the reverse complement of queries, too (default: both, where the store has one strand)",
    )
    parser.add_argument("--exact", action="store_true", help="scan all windows even where there is an IVF index")
    parser.add_argument(
        "--backbone", metavar="NAME", help="where the model of the store is now (default: as the store names it)"
    )
    add_contig_aliases(parser)
    _add_computation(parser, dtype_default="the store's")


def _add_classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", nargs="+", metavar="STORE|GENOME", help="a store, or FASTA files of genomes")
    parser.add_argument(
        "--model",
        required=True,
        metavar="CHECKPOINT",
        help="fine-tuned SequenceClassification or SequenceRegression, which reads the strands that it was saved with",
    )
    parser.add_argument("--target", metavar="NAME", help="class or number; may be left out where there is one number")
    parser.add_argument("-k", type=int, default=100, metavar="N", help="how many hits (default: %(default)s)")
    _add_hits(parser, score="score")
    parser.add_argument("--fasta", nargs="+", default=[], metavar="FILE", help="where the genomes of a store are now")
    parser.add_argument("--window", type=int, metavar="BP", help="of genomes (default: 1024, or what the model reads)")
    parser.add_argument("--step", type=int, metavar="BP", help="of genomes (default: half a window)")
    parser.add_argument(
        "--strand", choices=("forward", "both"), help="of genomes: whose windows are scored (default: forward)"
    )
    _add_computation(parser, dtype_default="float32")


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", help="of `dnafm mine index`")


def _add_hits(parser: argparse.ArgumentParser, *, score: str) -> None:
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="to write: .bed, .parquet, .tsv, .csv, .jsonl"
    )
    parser.add_argument("--min_score", type=float, metavar="X", help=f"lowest {score} of a hit (default: none)")
    parser.add_argument(
        "--merge",
        type=int,
        metavar="BP",
        help="join hits with at most so many bases between them, 0 where they overlap or touch; the best one's "
        f"{score} counts (default: windows as they are)",
    )
    parser.add_argument("--genome", nargs="+", default=[], metavar="NAME", help="search these genomes alone")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the output, and parts of a run with other options"
    )


def _add_computation(parser: argparse.ArgumentParser, *, dtype_default: str) -> None:
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "auto"),
        help=f"of weights and computation; auto: that of the checkpoint (default: {dtype_default})",
    )
    add_batch(parser)
