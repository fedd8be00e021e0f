"""In-silico mutagenesis and a dependency map: what every substitution changes, and which bases belong together.

    pip install 'dnafm[train,genomics,plots]'
    python examples/09_mutagenesis.py

120 bases of the chromosome of Staphylococcus aureus NCTC 8325, in a window of 256. It runs offline, in a minute on two
CPU cores. On the command line the same is

    dnafm ism NC_007795:501-620 --fasta genome.fa.gz --window 256 -o ism.parquet --plot ism.html
    dnafm depmap NC_007795:501-620 --fasta genome.fa.gz --window 120 --strand forward -o map.npz --plot map.png
"""

import argparse
from pathlib import Path

import numpy as np

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.dependency import dependency_maps
from dnafm.analysis.mutagenesis import mutate
from dnafm.analysis.regions import interval_regions
from dnafm.checkpoints import backbone_location
from dnafm.genomics import ReferenceGenome, parse_region
from dnafm.genomics.sequences import BASES
from dnafm.reports.region_figures import plot_dependency, plot_mutagenesis

FASTA = Path(__file__).parents[1] / "tests" / "genomics" / "fixtures" / "nctc8325.fa.gz"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--fasta", default=FASTA, help="a genome")
parser.add_argument("--region", default="NC_007795:501-620", help="counted from 1 (default: %(default)s)")
parser.add_argument("--output_dir", type=Path, default=Path("runs/mutagenesis"), help="folder of the figures")
args = parser.parse_args()

# 1. The model, and the region with the genome around it.
location = backbone_location("dnafm_tiny")
model, tokenizer = DNAFMForMaskedLM.from_pretrained(location).eval(), DNAFMTokenizer.from_pretrained(location)
genome = ReferenceGenome(args.fasta)
(region,) = interval_regions(genome, [parse_region(args.region)], window_bp=256)

# 2. log p(alternative) - log p(reference) of all substitutions, each base hidden in turn, both strands averaged.
(result,) = mutate(BasePredictor(model, tokenizer, strand="both"), [region], window_bp=256)
is_change = result.effects != 0
print(f"{region.id}: {is_change.sum()} substitutions, median {np.median(result.effects[is_change]):.2f} nats")
print(f"entropy {result.entropy_bits.mean():.2f} bits a base; 2 would be no idea")
for place in np.sort(result.entropy_bits.argsort()[:5]):
    base, change = region.sequence[place], result.effects[place]
    others = "  ".join(f"{letter} {change[BASES.index(letter)]:5.2f}" for letter in BASES.replace(base, ""))
    print(f"  {region.start_bp + 1 + place:,} {base} is predicted best; {others}")

# 3. Which base's prediction depends on which other one.
predictor = BasePredictor(model, tokenizer, strand="forward")
(dependencies,) = dependency_maps(predictor, [region], window_bp=region.n_bases)
distance = np.abs(np.subtract.outer(range(region.n_bases), range(region.n_bases)))
for near, far in ((1, 3), (4, 12), (13, region.n_bases)):
    mean = dependencies.dependencies[(distance >= near) & (distance <= far)].mean()
    print(f"mean dependency of bases {near} to {far} apart: {mean:.3f}")

# 4. Figures: the HTML one zooms, and shows the values under the pointer.
args.output_dir.mkdir(parents=True, exist_ok=True)
for name in ("ism.png", "ism.html"):
    plot_mutagenesis(result, args.output_dir / name)
plot_dependency(dependencies, args.output_dir / "map.png")
print(f"Figures are in {args.output_dir}.")
