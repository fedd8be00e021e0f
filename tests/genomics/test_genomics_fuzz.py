import gzip
import random

import pysam
import pytest

from dnafm.genomics import (
    CodingSequence,
    Interval,
    ReferenceGenome,
    VcfReader,
    VcfWriter,
    read_bed,
    read_gene_models,
    read_gff,
    read_variant_list,
    read_variant_table,
)

N_MUTANTS = 60
VCF = """##fileformat=VCFv4.2
##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
##FILTER=<ID=low,Description="low">
##contig=<ID=chr1,length=60>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone
chr1\t5\trs1\ta\tG\t10\tPASS\tAF=0.5\tGT\t0/1
chr1\t9\t.\tAC\tA,<DEL>,*\t.\tlow\tAF=0.1,.,.;ZZ=3\tGT\t1|2
chr2\t2\t.\tG\t.\t1e-3\t.\t.\tGT\t./.
"""
BED = """track name=genes
chr1\t1\t40\tone\t3.5\t-\t2\t30\t255,0,0\t2\t10,20,\t0,19,
chr1\t3\t9\ttwo\t.\t+\t3\t3\t0\t1\t6\t0
"""
GFF3 = """##gff-version 3
chr1\tx\tgene\t2\t50\t.\t-\t.\tID=g;Name=a%3Bb
chr1\tx\tmRNA\t2\t50\t.\t-\t.\tID=t;Parent=g;Dbxref=A,B
chr1\tx\texon\t2\t50\t.\t-\t.\tParent=t
chr1\tx\tCDS\t5\t16\t1.5\t-\t0\tID=c;Parent=t
chr1\tx\tCDS\t20\t30\t.\t-\t2\tID=c;Parent=t
"""
GTF = """chr1\tx\texon\t2\t50\t.\t+\t.\tgene_id "g"; transcript_id "t"; tag "a"; tag "b";
chr1\tx\tCDS\t5\t16\t.\t+\t0\tgene_id "g"; transcript_id "t"; n 3;
chr1\tx\tstop_codon\t17\t19\t.\t+\t0\tgene_id "g"; transcript_id "t";
"""
FASTA = ">chr1 first\nACGTACGTAC\nACGTACGTAC\nACG\n>chr2\nNNNNacgtRY\nA\n"
TABLE = 'chrom,pos,ref,alt,id\nchr1,5,A,G,rs1\nchr1,9,AC,"A,G",\n'
LIST = "chr1:5:A:G\n# none\nchr2:7:AC:A,G\n"


def read_bed_file(path):
    for record in read_bed(path):
        record.thick()
        record.blocks()
    list(read_bed(path, contig_lengths={"chr1": 45}))


def read_genes(path):
    for gene in read_gene_models(path):
        for transcript in gene.transcripts:
            assert transcript.introns is not None
            assert transcript.five_prime_utr is not None
            if transcript.coding:
                assert CodingSequence.of_transcript(transcript).n_codons >= 0


def read_gff_rows(path):
    list(read_gff(path))


def read_genome(path):
    with ReferenceGenome(path) as genome:
        for contig, length_bp in genome.contig_lengths.items():
            genome.fetch(Interval(contig, 0, length_bp + 2, "-"), pad=True)
            genome.checksum(contig)


def read_vcf(path):
    with VcfReader(path) as reader, VcfWriter(f"{path}.out.vcf.gz", reader, overwrite=True) as writer:
        for variant in reader:
            assert len(variant.kinds) == len(variant.alternative_alleles)
            writer.write(variant)


def bgzip(data, path):
    with pysam.BGZFile(str(path), "wb") as stream:
        stream.write(data)
    return path.read_bytes()


def mutated(data, rng):
    """Cut, flip, delete, double or insert a few pieces of bytes."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 1, 2, 8)))
        action = rng.randrange(7)
        if action == 0:
            del data[start:end]
        elif action == 1:
            data[start:start] = data[start:end]
        elif action == 2:
            data[start:start] = rng.choice(
                (b"\t", b"\n", b"\r", b"\0", b"-1", b"9" * 30, b"\xff\xfe", b":", b";=,", b"%", b">")
            )
        elif action == 3 and start < len(data):
            data[start] = rng.randrange(256)
        elif action == 4:
            del data[start:]
        elif action == 5:
            lines = bytes(data).split(b"\n")
            rng.shuffle(lines)
            data = bytearray(b"\n".join(lines))
        else:
            data[start:end] = rng.choice((b"A", b"0", b" ", b'"', b".", b"*", b"<", b"chr1"))
    return bytes(data)


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize(
    ("text", "name", "read"),
    [
        (VCF, "v.vcf", read_vcf),
        (BED, "b.bed", read_bed_file),
        (GFF3, "g.gff3", read_gff_rows),
        (GFF3, "g.gff", read_genes),
        (GTF, "g.gtf", read_genes),
        (FASTA, "g.fa", read_genome),
        (TABLE, "t.csv", lambda path: list(read_variant_table(path))),
        (LIST, "l.txt", lambda path: list(read_variant_list(path))),
    ],
    ids=["vcf", "bed", "gff3", "gff3-genes", "gtf-genes", "fasta", "table", "list"],
)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, capfd, text, name, read, is_compressed):
    """Whatever the damage, a reader ends, or raises ValueError or OSError of one line; nothing else is printed."""
    rng = random.Random(f"{name} {is_compressed}")
    name = f"{name}.gz" if is_compressed else name
    refusals = []
    for number in range(N_MUTANTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / name
        # Half of the compressed ones are damaged before compression, half after it.
        late = is_compressed and number % 2
        data = text.encode() if late else mutated(text.encode(), rng)
        data = bgzip(data, path) if is_compressed else data
        path.write_bytes(mutated(data, rng) if late else data)
        try:
            read(path)
        except (ValueError, OSError) as error:
            refusals.append(str(error))
    assert all(message and "\n" not in message for message in refusals)
    assert N_MUTANTS // 10 < len(refusals) < N_MUTANTS
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
def test_the_undamaged_files_are_read(write, tmp_path, is_compressed):
    """What the mutants are made of is sound, so that they are refused for their damage alone."""
    for text, name, read in (
        (VCF, "v.vcf", read_vcf),
        (BED, "b.bed", read_bed_file),
        (GFF3, "g.gff3", read_genes),
        (GTF, "g.gtf", read_genes),
        (FASTA, "g.fa", read_genome),
    ):
        path = tmp_path / (f"{name}.gz" if is_compressed else name)
        path.write_bytes(bgzip(text.encode(), path) if is_compressed else text.encode())
        read(path)


def test_plain_gzip_is_read_where_no_place_is_looked_up(tmp_path):
    """BED and GFF may be compressed with gzip; the rows are those of the plain file."""
    path = tmp_path / "b.bed.gz"
    path.write_bytes(gzip.compress(BED.encode()))
    assert [record.interval.name for record in read_bed(path)] == ["one", "two"]
