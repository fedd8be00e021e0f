"""Tables and genomes as model inputs."""

from dnafm.data.collators import MaskedDiffusionCollator, MaskedLanguageModelCollator
from dnafm.data.fasta import FastaSequence, encode_fasta
from dnafm.data.genome_cache import EncodedGenome, open_genome, open_genomes
from dnafm.data.splice_junctions import LabelledSequences, SpliceJunctions, load_splice_junctions
from dnafm.data.windows import GenomeWindows, WindowLocation

__all__ = [
    "EncodedGenome",
    "FastaSequence",
    "GenomeWindows",
    "LabelledSequences",
    "MaskedDiffusionCollator",
    "MaskedLanguageModelCollator",
    "SpliceJunctions",
    "WindowLocation",
    "encode_fasta",
    "load_splice_junctions",
    "open_genome",
    "open_genomes",
]
