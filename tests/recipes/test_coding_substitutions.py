"""`recipes/tiny/coding_substitutions.py` on genes whose substitutions are counted by hand."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pysam")

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "tiny"))

import coding_substitutions
import substitution_tables

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.checkpoints import backbone_location
from dnafm.genomics import Interval, ReferenceGenome, read_gene_models, reverse_complement

# Start, end, strand and bases in the order of translation.
GENES = {
    "outside": (4, 16, "+", "ATGCTGCTGTAA"),
    "forward": (40, 52, "+", "ATGTGGTACTAA"),
    "reverse": (60, 69, "-", "ATGGGCTAA"),
    "interrupted": (75, 87, "+", "ATGTAAGGCTAA"),
    "overlapped": (90, 102, "+", "ATGGGCGGCTAA"),
    "overlapping": (96, 105, "+", "GGCTAATAA"),
}
REGION = "chr:21-130"
# Of TGG 7 missense and 2 stops; of TAC 1 synonymous, 6 and 2; of GGC 3 synonymous and 6 missense. The second GGC of
# `overlapped` is in another gene, too.
COUNTS = {
    ("forward", "missense"): 13,
    ("forward", "stop_gained"): 4,
    ("forward", "synonymous"): 1,
    ("reverse", "missense"): 6,
    ("reverse", "synonymous"): 3,
    ("overlapped", "missense"): 6,
    ("overlapped", "synonymous"): 3,
}
WINDOW_BP = 16


@pytest.fixture
def files(tmp_path):
    """A genome, and its genes as GFF3 and in the way of the JGI."""
    bases, rows, jgi_rows = list("ACGGT" * 26), [], []
    for name, (start_bp, end_bp, strand, coding) in GENES.items():
        bases[start_bp:end_bp] = reverse_complement(coding) if strand == "-" else coding
        place = f"{start_bp + 1}\t{end_bp}\t.\t{strand}"
        rows += [f"chr\tx\tgene\t{place}\t.\tID={name}", f"chr\tx\tCDS\t{place}\t0\tID=c{name};Parent={name}"]
        jgi_rows += [f'chr\tJGI\texon\t{place}\t.\tname "{name}"', f'chr\tJGI\tCDS\t{place}\t0\tname "{name}"']
    (tmp_path / "genome.fa").write_text(f">chr\n{''.join(bases)}\n")
    (tmp_path / "genes.gff3").write_text("##gff-version 3\n" + "\n".join(rows) + "\n")
    (tmp_path / "genes.gff").write_text("\n".join(jgi_rows) + "\n")
    return tmp_path


@pytest.fixture
def found(files):
    """All substitutions, scored by the bundled model, and the genome."""
    location = backbone_location("dnafm_tiny")
    model, tokenizer = DNAFMForMaskedLM.from_pretrained(location).eval(), DNAFMTokenizer.from_pretrained(location)
    reference = ReferenceGenome(files / "genome.fa")
    genes, regions = read_gene_models(files / "genes.gff3"), [Interval("chr", 20, 130)]
    scorer = VariantScorer(BasePredictor(model, tokenizer), reference, scores=["masked_llr"], window_bp=WINDOW_BP)
    codons = coding_substitutions.eligible_codons(genes, reference, regions, window_bp=WINDOW_BP)
    usage = coding_substitutions.codon_usage(genes, reference, regions)
    assert usage == Counter(ATG=1, CTG=2, TAA=1)
    return list(coding_substitutions.score_substitutions(codons, scorer, usage)), scorer


def test_consequences_are_those_counted_by_hand(found):
    """Without starts, stops, codons of two genes, and genes with a stop inside or outside of the region."""
    substitutions, _ = found
    assert Counter((each.gene, each.consequence) for each in substitutions) == COUNTS


def test_a_score_is_that_of_the_variant_on_the_forward_strand(found):
    """GGC of the reverse gene is GCC at 63 to 66: its third base G>A as the gene reads it is C>T at base 63."""
    substitutions, scorer = found
    (own,) = [each for each in substitutions if (each.gene, each.place, each.bases) == ("reverse", 3, "CA")]
    assert (own.position_bp, own.consequence) == (63, "synonymous")
    variant = coding_substitutions.Variant("chr", 63, "G", ("T",))
    (scored,) = scorer.score([variant])
    assert own.score == pytest.approx(scored.alleles[0].scores["masked_llr"], abs=1e-5)


def test_codon_usage_is_that_of_other_genes(found):
    """TAC to TAA, a codon that is there once: log((1 + 1) / (0 + 1)); TGG to TTG, which is not there: log 1."""
    usage = {(each.gene, each.position_bp, each.bases): each.usage for each in found[0]}
    assert usage["forward", 48, "CA"] == pytest.approx(np.log(2))
    assert usage["forward", 44, "GT"] == 0


def test_windows_stay_in_the_region(files):
    """Codons whose windows pass an edge of the region, inside of the contig, are left out."""
    reference = ReferenceGenome(files / "genome.fa")
    genes = read_gene_models(files / "genes.gff3")

    def genes_of(start_bp, end_bp):
        regions = [Interval("chr", start_bp, end_bp)]
        codons = coding_substitutions.eligible_codons(genes, reference, regions, window_bp=WINDOW_BP)
        return [(codon.gene, codon.bases) for codon in codons]

    # The window of base 43, the first of TGG, is 35 to 51, and that of base 46, the first of TAC, 38 to 54.
    assert genes_of(35, 65) == [("forward", "TGG"), ("forward", "TAC")]
    assert genes_of(36, 65) == [("forward", "TAC")]


def test_auroc_is_the_share_of_pairs_within_strata():
    """Against all pairs, one by one, with ties and strata that have one class alone."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        strata = generator.integers(6, size=40)
        is_first = generator.random(40) < 0.3
        scores = generator.integers(5, size=40) / 3
        pairs = [
            (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
            for i in np.flatnonzero(is_first)
            for j in np.flatnonzero(~is_first & (strata == strata[i]))
        ]
        assert substitution_tables.auroc_within(strata, is_first, scores) == pytest.approx(np.mean(pairs))
    assert np.isnan(substitution_tables.auroc_within(np.arange(4), np.arange(4) < 2, np.arange(4.0)))


@pytest.mark.parametrize("words", [["--genes", "genes.gff3"], ["--genes", "genes.gff", "--jgi"]], ids=["gff3", "jgi"])
def test_the_tables_have_the_counts(files, monkeypatch, capsys, words):
    """7 synonymous, 25 missense and 4 stops, of which TAG from TGG is the one at a second place."""
    monkeypatch.chdir(files)
    options = ["--fasta", "genome.fa", "--region", REGION, "--window", str(WINDOW_BP), "--resamples", "20"]
    coding_substitutions.main(["--checkpoint", str(backbone_location("dnafm_tiny")), *options, *words])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 of 4 codons of 3 genes, seed 0"
    rows = {cells[1]: cells[2::2] for line in lines if len(cells := [cell.strip() for cell in line.split("|")]) == 9}
    assert rows["all"][:3] == ["7", "25", "4"]
    assert rows["2"][:3] == ["0", "11", "1"]
    n_strata, n_scores = len(substitution_tables.STRATA), len(substitution_tables.SCORES)
    assert sum(" | checkpoint | " in line or " | codon usage | " in line for line in lines) == n_strata * n_scores
