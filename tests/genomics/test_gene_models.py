import pytest

from dnafm.genomics import read_gene_models


def rows(*lines):
    return "".join("\t".join(line.split(None, 8)) + "\n" for line in lines)


GFF3 = rows(
    "c s gene 11 100 . - . ID=g;Name=abc",
    "c s CDS 61 75 . - 0 ID=p;Parent=t",
    "c s mRNA 11 100 . - . ID=t;Parent=g",
    "c s exon 61 80 . - . Parent=t,u",
    "c s exon 11 30 . - . Parent=t",
    "c s CDS 21 30 . - 1 ID=p;Parent=t",
    "c s ncRNA 61 80 . - . ID=u;Parent=g",
)


def spans(intervals):
    return [(interval.start_bp, interval.end_bp) for interval in intervals]


def test_parts_find_their_transcript_and_its_gene(write):
    """By hand, on the - strand, in any order of rows; an exon may have two parents."""
    (gene,) = read_gene_models(write(GFF3, "g.gff3"))
    assert (gene.id, gene.interval.name, spans([gene.interval])) == ("g", "abc", [(10, 100)])
    coding, silent = gene.transcripts
    assert (coding.id, coding.feature, coding.gene_id) == ("t", "mRNA", "g")
    assert spans(coding.exons) == [(10, 30), (60, 80)]
    assert spans(coding.introns) == [(30, 60)]
    assert spans(coding.coding) == [(20, 30), (60, 75)]
    assert coding.phases == (1, 0)
    # Translation begins at base 74 and goes down.
    assert spans(coding.five_prime_utr) == [(75, 80)]
    assert spans(coding.three_prime_utr) == [(10, 20)]
    assert {part.strand for part in (*coding.introns, *coding.five_prime_utr)} == {"-"}
    assert (silent.id, silent.coding, silent.five_prime_utr) == ("u", (), ())


def test_gtf_and_gff3_of_a_gene_agree(write):
    """In GTF the stop codon is behind the CDS, here split by the intron; in GFF3 it is a part of it."""
    tie = 'gene_id "g"; transcript_id "t";'
    gtf = rows(
        f"c s exon 1 20 . + . {tie}",
        f"c s CDS 3 19 . + 0 {tie}",
        f"c s stop_codon 20 20 . + 0 {tie}",
        f"c s stop_codon 31 32 . + 2 {tie}",
        f"c s exon 31 40 . + . {tie}",
    )
    gff3 = rows(
        "c s gene 1 40 . + . ID=g",
        "c s transcript 1 40 . + . ID=t;Parent=g",
        "c s exon 1 20 . + . Parent=t",
        "c s exon 31 40 . + . Parent=t",
        "c s CDS 3 20 . + 0 Parent=t",
        "c s CDS 31 32 . + 0 Parent=t",
    )
    found = [read_gene_models(write(text, name))[0] for text, name in ((gtf, "g.gtf"), (gff3, "g.gff3"))]
    for of in (lambda t: t.coding, lambda t: t.exons, lambda t: t.introns, lambda t: t.three_prime_utr):
        gtf_parts, gff3_parts = (spans(of(gene.transcripts[0])) for gene in found)
        assert gtf_parts == gff3_parts
    assert spans(found[0].transcripts[0].coding) == [(2, 20), (30, 32)]
    assert found[0].interval.end_bp == 40


def test_a_stop_codon_within_the_coding_part_adds_nothing(write):
    """Some programs count it in, as GFF3 does."""
    tie = 'gene_id "g"; transcript_id "t";'
    text = rows(f"c s CDS 3 20 . - 0 {tie}", f"c s stop_codon 3 5 . - 0 {tie}")
    (gene,) = read_gene_models(write(text, "g.gtf"))
    assert spans(gene.transcripts[0].coding) == [(2, 20)]
    assert gene.transcripts[0].exons[0].strand == "-"


def test_genes_without_transcripts_and_coding_parts_without_genes(write):
    """As in bacteria: a CDS right under its gene, one without any, and an mRNA without a gene."""
    text = rows(
        "c s gene 1 9 . + . ID=g1",
        "c s CDS 1 9 . + 0 ID=cds1;Parent=g1",
        "c s CDS 21 29 . - 0 ID=cds2",
        "c s mRNA 41 49 . + . ID=m",
        "c s CDS 41 49 . + 0 Parent=m",
    )
    genes = read_gene_models(write(text, "g.gff3"))
    assert [(gene.id, gene.transcripts[0].id) for gene in genes] == [("g1", "cds1"), ("cds2", "cds2"), ("m", "m")]
    assert [spans(gene.transcripts[0].exons) for gene in genes] == [[(0, 9)], [(20, 29)], [(40, 49)]]


def test_other_attributes_tie_rows_on_request(write):
    """The GFF of the JGI ties them by `name`; without being told, the message names what is missing."""
    path = write(
        rows('c s exon 1 9 . + . name "n.1"; transcriptId 3', 'c s CDS 1 9 . + 0 name "n.1"; proteinId 3'), "g.gff"
    )
    (gene,) = read_gene_models(path, transcript_key="name")
    assert (gene.id, len(gene.transcripts)) == ("n.1", 1)
    with pytest.raises(ValueError, match=r"g\.gff:1: the row has no 'transcript_id'"):
        read_gene_models(path)


def test_a_parent_that_is_not_there_is_named(write):
    """File and line of the row."""
    with pytest.raises(ValueError, match=r"g\.gff3:1: the parent 'x' is no ID"):
        read_gene_models(write(rows("c s exon 1 9 . + . Parent=x"), "g.gff3"))


def test_a_transcript_has_one_contig_and_strand(write):
    """Trans-splicing is refused, with the line at which it shows."""
    text = rows("c s CDS 1 9 . + 0 ID=a", "c s CDS 21 29 . - 0 ID=a")
    with pytest.raises(ValueError, match=r"g\.gff3:2: .*trans-splicing"):
        read_gene_models(write(text, "g.gff3"))
