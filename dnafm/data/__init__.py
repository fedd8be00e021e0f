"""Tables and genomes as model inputs."""

from dnafm.data.collators import MaskedDiffusionCollator, MaskedLanguageModelCollator
from dnafm.data.fasta import FastaSequence, encode_fasta
from dnafm.data.genome_cache import EncodedGenome, open_genome, open_genomes
from dnafm.data.labels import TargetScaler
from dnafm.data.splice_junctions import LabelledSequences, SpliceJunctions, load_splice_junctions
from dnafm.data.table_options import (
    DiffusionTable,
    PairwiseTokenClassificationTable,
    SequenceClassificationTable,
    SequenceRegressionTable,
    TableOptions,
    TokenClassificationTable,
    TokenRegressionTable,
    UnlabelledTable,
)
from dnafm.data.task_data import TaskData, iterate_rows, load_task_data
from dnafm.data.windows import GenomeWindows, WindowLocation

__all__ = [
    "DiffusionTable",
    "EncodedGenome",
    "FastaSequence",
    "GenomeWindows",
    "LabelledSequences",
    "MaskedDiffusionCollator",
    "MaskedLanguageModelCollator",
    "PairwiseTokenClassificationTable",
    "SequenceClassificationTable",
    "SequenceRegressionTable",
    "SpliceJunctions",
    "TableOptions",
    "TargetScaler",
    "TaskData",
    "TokenClassificationTable",
    "TokenRegressionTable",
    "UnlabelledTable",
    "WindowLocation",
    "encode_fasta",
    "iterate_rows",
    "load_splice_junctions",
    "load_task_data",
    "open_genome",
    "open_genomes",
]
