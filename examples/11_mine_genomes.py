"""Mine a genome: find mutated copies of genes in it by the vectors of its windows.

    pip install 'dnafm[train,genomics,mining,plots]'
    python examples/11_mine_genomes.py

Pieces of a chromosome of Drosophila are the genes. Copies, in which up to a fifth of the bases is substituted and half
of which are on the other strand, are planted in a piece of the chromosome of Staphylococcus aureus. It runs offline,
in half a minute on two CPU cores. On the command line the same is

    dnafm mine index host.fa -o store --window 256 --step 128
    dnafm mine query store --fasta genes.fa -k 10 -o hits.bed
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dnafm
from dnafm.analysis.embedding_sources import FastaSource
from dnafm.analysis.mining_hits import write_hits
from dnafm.genomics import reverse_complement
from dnafm.reports.figures import COLORS

FIXTURES = Path(__file__).parents[1] / "tests"
HOST = FIXTURES / "genomics" / "fixtures" / "nctc8325.fa.gz"
GENES = FIXTURES / "fixtures" / "genomes" / "drosophila_melanogaster.fa.gz"
WINDOW, RATES = 256, (0.0, 0.05, 0.1, 0.2)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--host", default=HOST, help="genome that copies are planted in, plain or gzip")
parser.add_argument("--genes", default=GENES, help="genome that pieces are taken from, plain or gzip")
parser.add_argument("--n_genes", type=int, default=6, help="(default: %(default)s)")
parser.add_argument("--host_bp", type=int, default=25_600, help="bases of the host (default: %(default)s)")
parser.add_argument("--output_dir", type=Path, default=Path("runs/mine"), help="a new folder")
args = parser.parse_args()
args.output_dir.mkdir(parents=True)
generator = np.random.default_rng(0)


def first_bases(path, n_bases):
    """Return the first bases of the first contig."""
    return next(iter(FastaSource(str(path)))).sequence[:n_bases].upper()


def mutated(bases, rate):
    """Substitute a share of the bases."""
    letters = np.array(list(bases))
    for place in generator.choice(len(letters), round(rate * len(letters)), replace=False):
        letters[place] = generator.choice([base for base in "ACGT" if base != letters[place]])
    return "".join(letters)


# 1. A copy of each gene for each rate of mutation, every second one reversed, each at the start of a window.
pieces = first_bases(args.genes, args.n_genes * 3 * WINDOW)
genes = {f"gene{number + 1}": pieces[number * 3 * WINDOW :][:WINDOW] for number in range(args.n_genes)}
host = first_bases(args.host, args.host_bp)
places = generator.choice(args.host_bp // WINDOW, len(genes) * len(RATES), replace=False) * WINDOW
copies = {}
for place, (number, rate) in zip(places, np.ndindex(len(genes), len(RATES)), strict=True):
    copy = mutated(genes[f"gene{number + 1}"], RATES[rate])
    host = host[:place] + (reverse_complement(copy) if (number + rate) % 2 else copy) + host[place + WINDOW :]
    copies[f"gene{number + 1}", RATES[rate]] = int(place)
(args.output_dir / "host.fa").write_text(f">host\n{host}\n")

# 2. The store. Genomes can be added later; an interrupted run goes on when it is started again.
index = dnafm.mine.Index.create(args.output_dir / "store", "dnafm_tiny", window_bp=WINDOW, step_bp=WINDOW // 2)
index.add(args.output_dir / "host.fa")
print(f"{len(index)} windows of {WINDOW} bases, {index.settings.pooling} of the bases' vectors")

# 3. The ten nearest windows of each gene, on both strands, as an Arrow table and as BED.
hits = index.query(genes, k=10)
write_hits(args.output_dir / "hits.bed", [hits])
print(hits.slice(0, 4).to_pandas().to_string(index=False))

# 4. Which copies are among them?
found = set(zip(hits["query_id"].to_pylist(), hits["start_bp"].to_pylist(), strict=True))
for rate in RATES:
    n_found = sum((gene, place) in found for (gene, own), place in copies.items() if own == rate)
    print(f"{rate:4.0%} of the bases substituted: {n_found} of {len(genes)} copies among the first ten hits")

# 5. How far a copy is from its gene, beside the nearest window that no copy touches.
everything = index.query(genes, k=len(index)).to_pandas()
is_copy = everything["start_bp"].map(lambda start: any(abs(start - place) < WINDOW for place in copies.values()))
nearest = 1 - everything[~is_copy].groupby("query_id")["cosine"].max()
distances = 1 - everything.set_index(["query_id", "start_bp"])["cosine"]
figure = Figure(figsize=(5, 3.5), layout="constrained")
axes = figure.subplots()
for gene in genes:
    ratios = [distances[gene, copies[gene, rate]] / nearest[gene] for rate in RATES]
    axes.plot([f"{rate:.0%}" for rate in RATES], ratios, marker="o", color=COLORS[0], alpha=0.6)
axes.axhline(1, color=COLORS[1], linestyle="--", label="nearest unrelated window")
axes.set(xlabel="bases substituted in the copy", ylabel="1 - cosine, relative", title="Copies of genes")
axes.legend(frameon=False)
figure.savefig(args.output_dir / "copies.png", dpi=150)
print(f"Hits and a figure are in {args.output_dir}.")
