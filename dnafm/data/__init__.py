"""Tables and genomes as model inputs."""

from dnafm.data.splice_junctions import LabelledSequences, SpliceJunctions, load_splice_junctions

__all__ = ["LabelledSequences", "SpliceJunctions", "load_splice_junctions"]
