"""Score variants: does the model expect what differs between two strains?

    pip install 'dnafm[train,genomics]'
    python examples/08_score_variants.py

A piece of the chromosome of Staphylococcus aureus NCTC 8325 is read in windows of 256 bases around the SNVs that the
strain RN4220 has in it, and around all other substitutions of the same bases. It runs offline, in a minute on two CPU
cores. On the command line the same is

    dnafm score --vcf variants.vcf.gz --fasta genome.fa.gz -o scored.vcf.gz --window 256
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.checkpoints import backbone_location
from dnafm.genomics import ReferenceGenome, Variant, VariantKind, VcfReader

DATA = Path(__file__).parents[1] / "tests" / "genomics" / "fixtures"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--vcf", default=DATA / "rn4220.vcf.gz", help="variants")
parser.add_argument("--fasta", default=DATA / "nctc8325.fa.gz", help="the genome that they differ from")
parser.add_argument("--max_variants", type=int, default=60, help="SNVs that are scored")
args = parser.parse_args()

# 1. The model, and what of it is asked: windows of 256 bases, both strands averaged.
location = backbone_location("dnafm_tiny")
predictor = BasePredictor(DNAFMForMaskedLM.from_pretrained(location).eval(), DNAFMTokenizer.from_pretrained(location))
genome = ReferenceGenome(args.fasta)
scorer = VariantScorer(predictor, genome, scores=["masked_llr", "entropy", "jsd", "l2"], window_bp=256)
for column, formula in scorer.columns.items():
    print(f"{column:12} {formula}.")

# 2. SNVs of the file, each with the alternatives that the strain does not have; all three cost one masked forward.
with VcfReader(args.vcf) as reader:
    snvs = [variant for variant in reader if variant.kinds == (VariantKind.SNV,)][: args.max_variants]
observed = {variant.start_bp: variant.alternative_alleles[0] for variant in snvs}
everything = [
    Variant(each.contig, each.start_bp, each.reference_allele, tuple("ACGT".replace(each.reference_allele, "")))
    for each in snvs
]

# 3. Scores come in the order of the variants.
by_group = defaultdict(list)
print(f"\n{'variant':>24}  {'masked LLR':>10}  entropy     JSD")
for scored in scorer.score(everything):
    variant = scored.variant
    for base, allele in zip(variant.alternative_alleles, scored.alleles, strict=True):
        is_observed = base == observed[variant.start_bp]
        by_group[is_observed].append(allele.scores["masked_llr"])
        if is_observed and len(by_group[True]) <= 5:
            scores = allele.scores
            text = f"{variant.contig}:{variant.start_bp + 1}:{variant.reference_allele}:{base}"
            print(f"{text:>24}  {scores['masked_llr']:10.2f}  {scores['entropy']:7.2f}  {scores['jsd']:6.4f}")

# 4. Are the alleles that live on more likely to the model than those that do not?
for name, is_observed in (("observed", True), ("not observed", False)):
    ratios = np.array(by_group[is_observed])
    print(f"{name:12}  {len(ratios):3} alleles, median log-likelihood ratio {np.median(ratios):.2f} nats")
above = np.mean([[first > second for second in by_group[False]] for first in by_group[True]])
print(f"An observed allele has the higher ratio in {above:.0%} of the pairs of one with one that is not.")
