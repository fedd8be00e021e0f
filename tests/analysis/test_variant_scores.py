"""Scores by the slow way, straight from AutoModelForMaskedLM, and of a model whose scores are known by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("pysam")

from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.analysis.base_predictions import BASE_IDS, BasePredictor
from dnafm.analysis.score_formulas import SCORES
from dnafm.analysis.variant_scores import ScoredAllele, VariantScorer
from dnafm.analysis.variant_windows import SkipReason
from dnafm.checkpoints import backbone_location
from dnafm.genomics import ReferenceGenome, Variant, parse_variant_text, reverse_complement

MOTIF = "GATTACA"
WINDOW_BP, FLANK_BP, LAYERS = 32, 3, (0, 2, 6)


@pytest.fixture(scope="module")
def contig():
    """200 bases, with the motif at 100."""
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    return letters[:100] + MOTIF + letters[107:]


@pytest.fixture(scope="module")
def genome(contig, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr\n{contig.lower()}\n>other\nACGTACGTAC\n")
    return ReferenceGenome(path)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(backbone_location("dnafm_tiny"))


@pytest.fixture(scope="module")
def model():
    return AutoModelForMaskedLM.from_pretrained(backbone_location("dnafm_tiny")).eval()


@pytest.fixture
def scorer(model, tokenizer, genome):
    """Factory of scorers with small windows."""

    def build(model=model, *, strand="both", **options):
        predictor = BasePredictor(model, tokenizer, strand=strand, max_tokens=100)
        return VariantScorer(predictor, genome, **{"window_bp": WINDOW_BP, "flank_bp": FLANK_BP, **options})

    return build


class SlowScorer:
    """Every score from plain forward passes, one at a time."""

    def __init__(self, model, tokenizer, contig, strand):
        self.model, self.tokenizer, self.contig = model, tokenizer, contig
        self.strands = {"both": (False, True), "forward": (False,), "reverse": (True,)}[strand]

    def outputs(self, window, masked, is_reverse):
        window = reverse_complement(window) if is_reverse else window
        if masked is not None:
            place = len(window) - 1 - masked if is_reverse else masked
            window = f"{window[:place]}[MASK]{window[place + 1 :]}"
        with torch.no_grad():
            return self.model(**self.tokenizer(window, return_tensors="pt"), output_hidden_states=True)

    def probabilities(self, window, masked=None):
        """(bases, 4) log-probabilities, mean over strands and normalised again."""
        total = 0
        for is_reverse in self.strands:
            logits = self.outputs(window, masked, is_reverse).logits[0, 1:-1][:, BASE_IDS].double()
            total = total + (logits.flip(0, 1) if is_reverse else logits).log_softmax(-1)
        return (total / len(self.strands)).log_softmax(-1).numpy()

    def masked(self, window, position):
        return dict(zip("ACGT", self.probabilities(window, position)[position], strict=True))

    def window(self, start_bp, end_bp, allele, longest):
        haplotype = self.contig[:start_bp] + allele + self.contig[end_bp:]
        first_bp = start_bp - (WINDOW_BP - longest + 1) // 2
        first_bp = max(0, min(first_bp, len(haplotype) - WINDOW_BP))
        return haplotype[first_bp : first_bp + WINDOW_BP], start_bp - first_bp

    def scores(self, start_bp, reference, alternative):
        """All scores of alleles that have nothing in common."""
        longest, end_bp = max(len(reference), len(alternative)), start_bp + len(reference)
        (ref, at), (alt, at_alt) = (self.window(start_bp, end_bp, each, longest) for each in (reference, alternative))
        if len(reference) == len(alternative) == 1:
            scored = scored_alt = [at]
            row, seen = self.masked(ref, at), dict(zip("ACGT", self.probabilities(ref)[at], strict=True))
            ratios = [each[alternative] - each[reference] for each in (row, seen)]
        else:
            n = longest + 2 * FLANK_BP
            scored, scored_alt = (
                range(first, first + n) for first in (min(max(0, a - FLANK_BP), WINDOW_BP - n) for a in (at, at_alt))
            )
            pairs = ((alt, scored_alt, 1), (ref, scored, -1))
            ratios = [sum(sign * self.masked(w, i)[w[i]] for w, own, sign in pairs for i in own)]
            seen = {w: self.probabilities(w) for w in (ref, alt)}
            ratios.append(sum(sign * seen[w][i]["ACGT".index(w[i])] for w, own, sign in pairs for i in own))
        rows = [np.exp(list(self.masked(ref, i).values())) for i in scored]
        return {
            "masked_llr": ratios[0],
            "unmasked_llr": ratios[1],
            "entropy": np.mean([-(p * np.log2(p)).sum() for p in rows]),
            "jsd": self.divergence(ref, alt, at, at_alt, len(reference), len(alternative)),
            **self.distances(ref, alt),
        }

    def divergence(self, ref, alt, at, at_alt, n_ref, n_alt):
        p, q = np.exp(self.probabilities(ref)), np.exp(self.probabilities(alt))
        # Base by base of the genome: the same place before the change, and behind it.
        same = [(at - i, at_alt - i) for i in range(1, min(at, at_alt) + 1)]
        same += [(at + i, at_alt + i) for i in range(n_ref)] if n_ref == n_alt else []
        behind, behind_alt = at + n_ref, at_alt + n_alt
        same += [(behind + i, behind_alt + i) for i in range(WINDOW_BP - max(behind, behind_alt))]

        def kl(a, b):
            return (a * np.log2(a / b)).sum()

        return np.mean([sum(kl(each, (p[i] + q[j]) / 2) / 2 for each in (p[i], q[j])) for i, j in same])

    def distances(self, ref, alt):
        found = {}
        for layer in LAYERS:
            of_strands = []
            for is_reverse in self.strands:
                a, b = (
                    self.outputs(window, None, is_reverse).hidden_states[layer][0, 1:-1].mean(0).double()
                    for window in (ref, alt)
                )
                of_strands.append(((a - b).abs().sum(), (a - b).norm(), 1 - torch.cosine_similarity(a, b, dim=0)))
            means = np.array(of_strands, np.float64).mean(axis=0)
            found |= {f"{n}_layer{layer}": v for n, v in zip(("l1", "l2", "cosine"), means, strict=True)}
        return found


@pytest.mark.parametrize("strand", ["both", "forward", "reverse"])
def test_scores_are_those_of_the_slow_way(scorer, model, tokenizer, contig, strand):
    """All scores of SNVs, MNVs, insertions and deletions, also at the ends of the contig."""
    slow = SlowScorer(model, tokenizer, contig, strand)
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    # Alleles without a base in common at either end.
    changes = [(start_bp, contig[start_bp], other[contig[start_bp]]) for start_bp in (0, 60, 199)]
    changes.append((80, contig[80:83], "".join(other[base] for base in contig[80:83])))
    changes += [(start_bp, "", other[contig[start_bp]] + "GG" + other[contig[start_bp - 1]]) for start_bp in (2, 90)]
    changes += [(start_bp, contig[start_bp : start_bp + 3], "") for start_bp in (50, 196)]
    variants = []
    for start_bp, reference, alternative in changes:
        # As VCF has it: an empty allele takes the base before along.
        shared = "" if reference and alternative else contig[start_bp - 1]
        variants.append(Variant("chr", start_bp - len(shared), shared + reference, (shared + alternative,)))
    found = list(scorer(strand=strand, scores=SCORES, layers=LAYERS).score(variants))
    for variant, scored in zip(variants, found, strict=True):
        trimmed = variant.trimmed()
        expected = slow.scores(trimmed.start_bp, trimmed.reference_allele, trimmed.alternative_allele)
        (allele,) = scored.alleles
        assert allele.scores == pytest.approx(expected, rel=1e-3, abs=2e-5)
        assert allele.skipped is None


class MotifModel(torch.nn.Module):
    """Expects the motif's base j by a logit of j + 1, where all the others of the motif are there; else nothing."""

    def __init__(self):
        super().__init__()
        self.device, self.config = torch.device("cpu"), SimpleNamespace(num_hidden_layers=1)
        self.n_forwards = 0

    def model(self, input_ids, attention_mask=None, output_hidden_states=False):
        self.n_forwards += len(input_ids)
        motif = torch.tensor([BASE_IDS["ACGT".index(base)] for base in MOTIF])
        logits = torch.zeros(*input_ids.shape, 16)
        for row, ids in enumerate(input_ids):
            for start in range(len(ids) - len(motif) + 1):
                differs = (ids[start : start + len(motif)] != motif).nonzero()[:, 0].tolist()
                for j in range(len(motif)):
                    if not set(differs) - {j}:
                        logits[row, start + j, motif[j]] = j + 1.0
        return SimpleNamespace(last_hidden_state=logits)

    def lm_head(self, states):
        return states


def test_model_that_prefers_a_motif_ranks_variants_as_by_hand(scorer):
    """A base of the motif that is lost costs its own logit; elsewhere nothing is expected, and entropy is 2 bits."""
    texts = [f"chr:{101 + j}:{base}:{'C' if base != 'C' else 'G'}" for j, base in enumerate(MOTIF)]
    variants = [parse_variant_text(text) for text in texts]
    found = [each.alleles[0].scores for each in scorer(MotifModel(), strand="forward").score(variants)]
    assert [each["masked_llr"] for each in found] == pytest.approx([-1, -2, -3, -4, -5, -6, -7], abs=1e-5)
    chances = [math.exp(j + 1) / (math.exp(j + 1) + 3) for j in range(7)]
    expected = [-p * math.log2(p) - (1 - p) * math.log2((1 - p) / 3) for p in chances]
    assert [each["entropy"] for each in found] == pytest.approx(expected, abs=1e-5)


def test_both_strands_are_averaged(scorer):
    """The motif is on the forward strand alone, so that the other strand expects nothing: half of each ratio."""
    variants = [parse_variant_text(f"chr:{101 + j}:{base}:G") for j, base in enumerate(MOTIF) if base != "G"]
    both, forward, reverse = (
        [each.alleles[0].scores["masked_llr"] for each in scorer(MotifModel(), strand=strand).score(variants)]
        for strand in ("both", "forward", "reverse")
    )
    assert reverse == pytest.approx([0] * 6, abs=1e-6)
    assert both == pytest.approx([value / 2 for value in forward], abs=1e-5)


def test_insertion_and_deletion_in_the_motif_by_hand(scorer):
    """The motif's 7 log-probabilities are lost for as many of bases that are expected by chance."""
    variants = [parse_variant_text("chr:104:T:TGG"), parse_variant_text("chr:103:TTA:T")]
    found = [
        each.alleles[0].scores["masked_llr"]
        for each in scorer(MotifModel(), strand="forward", flank_bp=8).score(variants)
    ]
    kept = sum(j + 1 - math.log(math.exp(j + 1) + 3) for j in range(7))
    assert found == pytest.approx([7 * math.log(1 / 4) - kept] * 2, abs=1e-4)


def test_nothing_is_computed_twice(scorer, contig):
    """Three alternatives of a position, in one record or in three, cost one forward pass."""
    model = MotifModel()
    others = [base for base in "ACGT" if base != contig[60]]
    variants = [parse_variant_text(f"chr:61:{contig[60]}:{','.join(others)}")]
    variants += [parse_variant_text(f"chr:61:{contig[60]}:{base}") for base in others]
    together = list(scorer(model, strand="forward").score(variants))
    assert model.n_forwards == 1
    assert [together[0].alleles[i] for i in range(3)] == [each.alleles[0] for each in together[1:]]


def test_unmasked_ratio_of_an_snv_needs_the_reference_window_alone(scorer, contig):
    """One forward pass for each window; divergence needs the other one, too."""
    variant = parse_variant_text(f"chr:61:{contig[60]}:{'A' if contig[60] != 'A' else 'C'}")
    for scores, n_forwards in ((["unmasked_llr"], 1), (["unmasked_llr", "jsd"], 2)):
        model = MotifModel()
        list(scorer(model, strand="forward", scores=scores).score([variant]))
        assert model.n_forwards == n_forwards


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("chr:1000:A:C", SkipReason.OUTSIDE_CONTIG),
        ("chr:0:A:C", SkipReason.OUTSIDE_CONTIG),
        ("chr:101:T:C", SkipReason.REFERENCE_MISMATCH),
        ("nowhere:5:A:C", SkipReason.UNKNOWN_CONTIG),
        ("other:5:A:C", SkipReason.SHORT_CONTIG),
        ("chr:101:G:.", SkipReason.NO_ALTERNATIVE),
        ("chr:101:G:G", SkipReason.SAME_AS_REFERENCE),
    ],
)
def test_variant_without_scores_says_why(scorer, text, reason):
    """Those around it are scored."""
    good = parse_variant_text("chr:101:g:C")
    found = list(scorer(MotifModel(), ref_mismatch="skip").score([good, parse_variant_text(text), good]))
    assert found[1].alleles == (ScoredAllele(skipped=reason),)
    assert found[0].alleles == found[2].alleles
    assert found[0].alleles[0].scores


def test_alleles_of_a_record_are_scored_or_skipped_one_by_one(scorer):
    """`*` and a symbol beside a base, in their order."""
    (scored,) = scorer(MotifModel(), strand="forward").score([parse_variant_text("chr:101:G:*,C,<DEL>")])
    assert [allele.skipped for allele in scored.alleles] == [SkipReason.SPANNING_DELETION, None, SkipReason.SYMBOLIC]
    assert scored.alleles[1].scores["masked_llr"] == pytest.approx(-1, abs=1e-5)


def test_mismatch_is_an_error_by_default(scorer):
    """It names place, both alleles and the question to ask."""
    with pytest.raises(ValueError, match=r"REF 'T' is not the genome's 'G' at chr:101\. .* same assembly\?"):
        list(scorer(MotifModel()).score([parse_variant_text("chr:101:T:C")]))
    with pytest.raises(ValueError, match=r"With ref_mismatch 'skip' or 'warn' it is no error\."):
        list(scorer(MotifModel()).score([parse_variant_text("chr:200:AC:C")]))
    with pytest.raises(ValueError, match="has no contig 'nowhere'"):
        list(scorer(MotifModel()).score([parse_variant_text("nowhere:5:A:C")]))


def test_telomere_is_no_mismatch(scorer):
    """VCF calls it 0, and there is no base."""
    (scored,) = scorer(MotifModel()).score([parse_variant_text("chr:0:N:<DUP>")])
    assert scored.alleles == (ScoredAllele(skipped=SkipReason.OUTSIDE_CONTIG),)
    assert not scored.has_mismatch


def test_mismatch_that_is_only_warned_of_is_scored_with_its_own_alleles(scorer):
    """Of the motif's first base, T and C are both not expected: the ratio is 0, and the variant is marked."""
    (scored,) = scorer(MotifModel(), ref_mismatch="warn").score([parse_variant_text("chr:101:T:C")])
    assert scored.has_mismatch
    assert scored.alleles[0].scores["masked_llr"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": ["llr"]}, "'llr' is no score; the scores are masked_llr"),
        ({"scores": []}, "name at least one"),
        ({"window_bp": 1025}, "window is 1025 bases; the model reads 1 to 1024"),
        ({"flank_bp": -1}, "flank is -1 bases"),
        ({"scores": ["l1"], "layers": [7]}, "Layer 7 is none of the model's"),
        ({"scores": ["l1"], "layers": [6, -1]}, "have one twice"),
        ({"ref_mismatch": "ignore"}, "ref_mismatch is 'ignore'"),
    ],
)
def test_wrong_options_are_an_error(scorer, options, message):
    """Before anything is read."""
    with pytest.raises(ValueError, match=message):
        scorer(**options)
