r"""Annotate a genome: what its windows are like, and what that has to do with genes.

    pip install 'dnafm[train,genomics,plots]'
    python examples/12_annotate_genome.py

150,000 bases of Escherichia coli K-12 that dnafm_tiny has not seen are cut into windows of 256, embedded, clustered,
and compared with the annotation. It runs offline, in a minute on two CPU cores. On the command line the same is

    dnafm annotate cluster genome.fa.gz -o clusters.bed --features genes.gff3.gz --types rRNA tRNA ncRNA CDS \
        --window 256 --clusters 4 --table clusters.tsv --enrichment enrichment.tsv --plot clusters.png

and with a fine-tuned TokenClassification, such as that of 05_annotate_bases.py, the classes of all bases come from

    dnafm annotate label genome.fa.gz --model runs/annotate_bases -o exons.gff3
"""

import argparse
from pathlib import Path

import dnafm
from dnafm.genomics import parse_region
from dnafm.reports.annotation_figures import plot_clusters

FIXTURES = Path(__file__).parents[1] / "tests" / "genomics" / "fixtures"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--fasta", default=FIXTURES / "mg1655.fa.gz", help="a genome")
parser.add_argument("--features", default=FIXTURES / "mg1655.gff3.gz", help="its annotation")
parser.add_argument("--region", default="U00096.3_4100001-4250000:60001-75000", help="of the figure, from 1")
parser.add_argument("--window", type=int, default=256, help="bases (default: %(default)s)")
parser.add_argument("--output_dir", type=Path, default=Path("runs/annotate_genome"), help="folder of the results")
args = parser.parse_args()
args.output_dir.mkdir(parents=True, exist_ok=True)

# 1. A vector for each window, and clusters of them. The BED file opens in a genome browser.
found = dnafm.annotate(
    "cluster",
    args.fasta,
    features=args.features,
    feature_names=["rRNA", "tRNA", "ncRNA", "CDS"],  # where they overlap the first one counts
    window_bp=args.window,
    n_clusters=4,
    output=args.output_dir / "clusters.bed",
    overwrite=True,
)

# 2. What the clusters are made of: coding sequence has a period of 3.
for row in found.clusters.to_pylist():
    composition = f"GC {row['gc']:.2f}, period 3 {row['periodicity_3']:.2f}"
    print(f"{row['cluster']}: {row['share']:.0%} of the bases, {composition}")

# 3. And of which feature they have more windows than all windows have.
for row in found.enrichment.to_pylist():
    if row["adjusted_p_value"] < 0.01:
        counts = f"{row['n_both']} of {row['n_cluster']} windows"
        print(f"{row['cluster']}: {row['feature']} in {counts}, {row['fold']:.1f} times as many as expected")
print(f"adjusted mutual information with the annotation: {found.information.adjusted:.3f}")

# 4. A stretch of the genome with its genes above it, and the map of all windows.
plot_clusters(found, args.output_dir / "annotation.png", region=parse_region(args.region))
print(f"Results are in {args.output_dir}.")
