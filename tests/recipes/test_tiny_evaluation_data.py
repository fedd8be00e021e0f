"""Annotations, windows and splits of `recipes/tiny/evaluate.py`, on snippets whose answers are counted by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "tiny"))

from evaluation import annotations, examples, windows
from evaluation.annotations import GeneModel, Locus
from evaluation.windows import Window

GFF = """\
chr_1\tJGI\texon\t11\t20\t.\t-\t.\tname "gene"; transcriptId 7
chr_1\tJGI\tCDS\t11\t20\t.\t-\t0\tname "gene"; proteinId 7; exonNumber 2
chr_1\tJGI\texon\t1\t4\t.\t-\t.\tname "gene"; transcriptId 7
chr_1\tJGI\tstart_codon\t18\t20\t.\t-\t0\tname "gene"
"""
# 5' to 3' the gene is ATGCC TTTT CTAA on the - strand of 23 bases.
GENBANK = """\
LOCUS       chr2R_101-123   23 bp  DNA
FEATURES             Location/Qualifiers
     source          1..23
     CDS             complement(join(4..7,12.
                     .16))
                     /gene="1"
BASE COUNT     1 a   1 c  1 g   1 t
ORIGIN
        1 cccttagaaa aggcatcccc
       21 ccc
//
"""


def write(path, text):
    path.write_text(text)
    return path


def gene(exons, *, is_reverse=False, chromosome="chr_1", coding=None, start_codon=None):
    return GeneModel("gene", chromosome, is_reverse, exons, coding if coding is not None else exons, start_codon)


def sequences_of(found, genome):
    return [windows.window_sequence(window, genome) for window in found]


def test_gff_rows_of_a_name_are_one_model_in_zero_based_half_open_coordinates(tmp_path):
    """Rows 11-20 and 1-4 of one name become exons [0, 4) and [10, 20) and the intron [4, 10)."""
    (model,) = annotations.read_gene_models(write(tmp_path / "genes.gff", GFF))
    assert model.exons == ((0, 4), (10, 20))
    assert model.introns == ((4, 10),)
    assert model.coding == ((10, 20),)
    assert model.start_codon == (17, 20)
    assert model.is_reverse


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t11\t20", "\t20\t11", "20 to 11 is no interval"),
        ("\t-\t", "\t.\t", "strand is '.'"),
        ('name "gene"', "gene", "no name"),
        ("\texon\t", "\tgene\t", "feature 'gene'"),
        ("\t.\t-", " . -", "columns"),
    ],
)
def test_malformed_gff_is_refused_with_file_and_line(tmp_path, old, new, message):
    """The first row is the bad one."""
    path = write(tmp_path / "genes.gff", GFF.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"genes.gff:1: .*{message}"):
        annotations.read_gene_models(path)


def test_locus_of_the_reverse_strand_reads_from_its_start_codon(tmp_path):
    """A CDS location that is broken within `..` joins up; 5' to 3' the labels are those of ATGCC TTTT CTAA."""
    (locus,) = annotations.read_loci(write(tmp_path / "genes.gb", GENBANK))
    assert (locus.chromosome, locus.start_bp, locus.end_bp) == ("chr2R", 100, 123)
    assert locus.coding == ((3, 7), (11, 16))
    tiled = examples.locus_windows([locus], window_bp=12)
    assert "".join(tiled.sequences) == "GGGGGGGATGCCTTTTCTAAGGG"
    assert [len(sequence) for sequence in tiled.sequences] == [12, 11]
    # 0 intergenic, 1 intron, 2 CDS
    assert "".join(map(str, tiled.flat_labels())) == "0" * 7 + "2" * 5 + "1" * 4 + "2" * 4 + "0" * 3


def test_cut_genbank_file_is_refused(tmp_path):
    """The last line of bases is missing."""
    path = write(tmp_path / "genes.gb", GENBANK.replace("       21 ccc\n", ""))
    with pytest.raises(ValueError, match="chr2R_101-123 has 1 CDS and 20 bases; 1 and 23 are due"):
        annotations.read_loci(path)


def test_genome_is_upper_case_by_name(tmp_path):
    """Lower case and ambiguity codes come out as A, C, G, T and N."""
    path = write(tmp_path / "genome.fa", ">chr_1 first\nacGT\nR\n>chr_2\nTTA\n")
    assert windows.read_genome(path) == {"chr_1": "ACGTN", "chr_2": "TTA"}


@pytest.mark.parametrize("is_reverse", [False, True])
@pytest.mark.parametrize(("kind", "motif", "place"), [("donor", "GT", 40), ("acceptor", "AG", 38)])
def test_site_has_its_dinucleotide_at_the_same_place_on_both_strands(kind, motif, place, is_reverse):
    """The boundary is in the middle of 80 nt: GT follows it, AG precedes it."""
    forward = "C" * 60 + "GT" + "A" * 26 + "AG" + "C" * 60
    chromosome = windows.reverse_complement(forward) if is_reverse else forward
    model = gene(((10, 60), (90, 140)), is_reverse=is_reverse)
    found = windows.splice_site_windows([model], {"chr_1": chromosome}, kind=kind)
    (site,) = [window for window in found if window.label == 1]
    assert windows.window_sequence(site, {"chr_1": chromosome})[place : place + 2] == motif


@pytest.mark.parametrize("is_reverse", [False, True])
@pytest.mark.parametrize(("kind", "motif", "place"), [("donor", "GT", 40), ("acceptor", "AG", 38)])
def test_decoys_have_the_motif_and_are_never_annotated_sites(kind, motif, place, is_reverse):
    """Two overlapping models on random bases: no decoy of one is a site of the other, whatever the seed."""
    bases = np.random.default_rng(0).choice(list("ACGT"), 600)
    for boundary in (150, 200, 300, 350):
        bases[boundary : boundary + 2] = list("CT" if is_reverse else "GT")
        bases[boundary - 2 : boundary] = list("AC" if is_reverse else "AG")
    genome = {"chr_1": "".join(bases)}
    models = [
        gene(((100, 150), (200, 300), (350, 500)), is_reverse=is_reverse),
        gene(((100, 200), (300, 500)), is_reverse=is_reverse),
    ]
    # Introns are 150-200 and 300-350, and 200-300.
    expected = {150, 300, 200} if (kind == "donor") != is_reverse else {200, 350, 300}
    for seed in range(20):
        found = windows.splice_site_windows(models, genome, kind=kind, seed=seed)
        sites = {window.intervals[0] for window in found if window.label == 1}
        decoys = [window for window in found if window.label == 0]
        assert {start_bp + 40 for start_bp, _ in sites} == expected
        assert decoys
        assert not sites & {window.intervals[0] for window in decoys}
        assert all(sequence[place : place + 2] == motif for sequence in sequences_of(decoys, genome))


def test_introns_without_gt_are_no_donors():
    """The only intron starts with CC."""
    genome = {"chr_1": "C" * 200}
    assert windows.splice_site_windows([gene(((50, 100), (120, 150)))], genome, kind="donor") == []


@pytest.mark.parametrize("is_reverse", [False, True])
def test_coding_windows_are_cut_from_the_start_of_the_spliced_sequence(is_reverse):
    """Of 100 + 350 coding bases, two windows of 200; the first joins two exons (or not, where they are reversed)."""
    generator = np.random.default_rng(0)
    genome = {"chr_1": "".join(generator.choice(list("ACGT"), 1000))}
    coding = ((100, 200), (400, 750))
    spliced = genome["chr_1"][100:200] + genome["chr_1"][400:750]
    if is_reverse:
        spliced = windows.reverse_complement(spliced)
    found = windows.coding_windows([gene(((50, 200), (400, 800)), is_reverse=is_reverse, coding=coding)])
    assert sequences_of(found, genome) == [spliced[:200], spliced[200:400]]


@pytest.mark.parametrize(
    ("is_reverse", "codon", "interval"), [(False, (400, 403), (200, 400)), (True, (497, 500), (500, 700))]
)
def test_upstream_ends_where_the_start_codon_begins(is_reverse, codon, interval):
    """Upstream of a gene on the - strand is to the right of it."""
    model = gene(((400, 500),), is_reverse=is_reverse, start_codon=codon)
    (window,) = windows.upstream_windows([model])
    assert window.intervals == (interval,)
    assert window.is_reverse == is_reverse


def test_upstream_in_another_gene_is_left_out():
    """A neighbour ends one base inside of the 200 bp, then at their edge."""
    model = gene(((400, 500),), start_codon=(400, 403))
    assert windows.upstream_windows([model, gene(((100, 201),), is_reverse=True)]) == []
    assert len(windows.upstream_windows([model, gene(((100, 200),), is_reverse=True)])) == 1


def test_intergenic_windows_touch_neither_gene_models_nor_what_is_kept_off():
    """Of 1,300 bases, 300-500 are genic with their intron and 500-700 are kept off: one window before, three after."""
    keep_off = [Window("chr_1", ((500, 700),), False, 1)]
    found = windows.intergenic_windows([gene(((300, 320), (480, 500)))], {"chr_1": "A" * 1300}, keep_off=keep_off)
    assert [window.intervals for window in found] == [((s, s + 200),) for s in (0, 700, 900, 1100)]


def test_windows_with_n_or_over_an_end_have_no_sequence():
    """Coordinates never wrap around."""
    genome = {"chr_1": "ACGTN"}
    for start, end in ((-1, 2), (3, 5), (2, 6)):
        assert windows.window_sequence(Window("chr_1", ((start, end),), False, 0), genome) is None
    assert windows.window_sequence(Window("chr_1", ((0, 2),), True, 0), genome) == "GT"


def test_splits_share_no_chromosome():
    """Six chromosomes; the names of the rows tell where they are from."""
    generator = np.random.default_rng(0)
    genome = {f"chr_{n}": "".join(generator.choice(list("ACGT"), 500)) for n in (1, 2, 4, 8, 9, 12)}
    found = [Window(name, ((start, start + 80),), False, 0) for name in genome for start in range(0, 400, 80)]
    splits = examples.split_by_chromosome(found, genome)
    chromosomes = [
        {name.split(":")[0] for name in part.ids} for part in (splits.train, splits.validation, splits.test)
    ]
    assert chromosomes == [{"chr_1", "chr_2"}, {"chr_9"}, {"chr_4", "chr_8", "chr_12"}]


def test_duplicates_of_the_test_split_are_removed_on_either_strand_and_counted():
    """AACC is GGTT on the other strand; ACCA is in training and validation, and stays in the latter."""

    def table(*sequences):
        return examples.Examples(sequences, sequences, (0,) * len(sequences))

    splits = examples.without_duplicates(table("AACC", "ACCA", "TTTA"), table("ACCA", "GGTT"), table("GGTT"))
    assert splits.train.sequences == ("TTTA",)
    assert splits.validation.sequences == ("ACCA",)
    assert splits.counts == {"examples removed that another split has": 3}


def test_loci_of_the_test_split_are_those_kept_out_of_pretraining_and_overlap_no_other():
    """One of two test loci is in the region; a training locus that shares a base with it goes, its neighbour stays."""
    generator = np.random.default_rng(0)

    def locus(start_bp):
        sequence = "".join(generator.choice(list("ACGT"), 100))
        return Locus(f"chr2R_{start_bp + 1}-{start_bp + 100}", "chr2R", start_bp, sequence, False, ((10, 40),))

    train = [locus(start_bp) for start_bp in (0, 1001, 2099, 2100, *range(5000, 5600, 100))]
    splits = examples.split_loci(train, [locus(1), locus(2000)], test_region=(1000, 9000), window_bp=50)
    assert {name.split(":")[0] for name in splits.test.ids} == {"chr2R_2001-2100"}
    assert len(splits.validation) == 0
    assert {int(name.split("_")[1].split("-")[0]) - 1 for name in splits.train.ids} == {
        1001,
        2100,
        *range(5000, 5600, 100),
    }


def test_samples_are_those_of_their_seed():
    """Equal seeds draw equal rows, a limit above the number of rows draws each once."""
    table = examples.Examples(tuple("abcd"), ("A", "C", "G", "T"), (0, 1, 0, 1))
    assert table.sample(2, seed=1) == table.sample(2, seed=1)
    assert sorted(table.sample(9, seed=0).ids) == list("abcd")
    assert len({table.sample(2, seed=seed).ids for seed in range(10)}) > 1
