"""Intervals, strands, genomes, annotations, variants and tracks: formats and coordinates of the field.

Coordinates are 0-based, half-open and along the + strand. Needs `pip install 'dnafm[genomics]'` for FASTA, VCF, tabix
and bigWig.
"""

from dnafm.genomics.bed import BedRecord, coloured, read_bed, write_bed
from dnafm.genomics.bigwig import TrackSegment, bigwig_contig_lengths, read_bigwig, write_bigwig
from dnafm.genomics.coding_sequences import STANDARD_CODE, CodingSequence, consequence_of, translate
from dnafm.genomics.gene_models import Gene, Transcript
from dnafm.genomics.gene_readers import read_gene_models
from dnafm.genomics.gff import GffRecord, read_gff, write_gff3
from dnafm.genomics.intervals import Interval, merge_intervals, parse_region
from dnafm.genomics.reference import ReferenceGenome
from dnafm.genomics.sequences import gc_content, is_dna, reverse_complement
from dnafm.genomics.variant_tables import read_variant_list, read_variant_table
from dnafm.genomics.variants import (
    TrimmedAlleles,
    Variant,
    VariantKind,
    check_reference,
    parse_variant_text,
    reference_matches,
    trim_alleles,
    variant_kind,
)
from dnafm.genomics.vcf import VcfReader
from dnafm.genomics.vcf_writer import InfoField, VcfWriter, index_variants

__all__ = [
    # coordinates and strands
    "Interval",
    "gc_content",
    "is_dna",
    "merge_intervals",
    "parse_region",
    "reverse_complement",
    # genomes
    "ReferenceGenome",
    # annotations
    "BedRecord",
    "CodingSequence",
    "Gene",
    "GffRecord",
    "STANDARD_CODE",
    "Transcript",
    "coloured",
    "consequence_of",
    "read_bed",
    "read_gene_models",
    "read_gff",
    "translate",
    "write_bed",
    "write_gff3",
    # variants
    "InfoField",
    "TrimmedAlleles",
    "Variant",
    "VariantKind",
    "VcfReader",
    "VcfWriter",
    "check_reference",
    "index_variants",
    "parse_variant_text",
    "read_variant_list",
    "read_variant_table",
    "reference_matches",
    "trim_alleles",
    "variant_kind",
    # tracks
    "TrackSegment",
    "bigwig_contig_lengths",
    "read_bigwig",
    "write_bigwig",
]
