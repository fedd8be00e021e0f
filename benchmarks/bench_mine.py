"""Genome mining: windows indexed per second, queries per second, and which mutated copies of genes are found.

Three parts, of which each may be left out:

- `index`: windows per second that `dnafm.mine.Index.add` indexes, and the share of that time inside of the model; on a
  CPU seconds of the processor, which other programs do not spoil.
- `search`: queries per second of a store of random vectors around centres, each query with both strands, by exact scan
  and through the IVF index, and which share of the exact 10 nearest the index finds.
- `recall`: genes are cut out of one genome, and copies in which a share of the bases is substituted are planted in
  another one. A copy is found where one of the first k hits covers at least half of it. "aligned" copies are windows
  of the store; "between" ones start a quarter of a window behind the start of one, the worst case. Beside the model
  are the cosines of counts of k-mers, both strands added, of the same windows in the same ranking.

    python benchmarks/bench_mine.py --host ecoli.fa --genes saureus.fa
    python benchmarks/bench_mine.py --parts search
"""

import os
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
import torch

from dnafm.analysis.embedding_models import encoder_of, model_and_tokenizer
from dnafm.analysis.embedding_sources import FastaSource
from dnafm.analysis.mining import Index
from dnafm.analysis.mining_hits import Place, best_of_places
from dnafm.analysis.mining_runs import window_table
from dnafm.analysis.mining_search import nearest, update_index
from dnafm.analysis.mining_store import COORDINATES, MiningStore, StoredGenome, StoreSettings, create_store
from dnafm.analysis.mining_windows import GenomeWindow, WindowCut
from dnafm.genomics import reverse_complement

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "genomes"
RATES = (0.0, 0.05, 0.1, 0.2)
TOP = (1, 10)
CHUNK_ROWS = 10_000


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parts = ("index", "search", "recall")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--backbone", default="dnafm_tiny", help="(default: %(default)s)")
    parser.add_argument("--pooling", nargs="+", default=["mean", "max"], help="of recall (default: mean max)")
    parser.add_argument("--layer", type=int, default=-1, help="(default: %(default)s)")
    parser.add_argument("--window", type=int, default=512, help="bases of a window (default: %(default)s)")
    parser.add_argument("--indexed", type=int, default=200, help="windows of the part index (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="of the part search (default: %(default)s)")
    parser.add_argument("--width", type=int, default=192, help="numbers of its vectors (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=50, help="of the part search (default: %(default)s)")
    parser.add_argument("--host", default=FIXTURES / "ustilago_maydis.fa.gz", help="genome that copies are planted in")
    parser.add_argument("--genes", default=FIXTURES / "drosophila_melanogaster.fa.gz", help="genome of the genes")
    parser.add_argument("--host_bp", type=int, default=100_000, help="bases of the host (default: %(default)s)")
    parser.add_argument("--n_genes", type=int, default=30, help="(default: %(default)s)")
    parser.add_argument("--kmers", nargs="+", type=int, default=[4, 5, 6], help="(default: 4 5 6)")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


# Indexing.


class Clock:
    """Seconds, and those of them that are spent in a model's forward pass."""

    def __init__(self, model: torch.nn.Module):
        self.in_model, self._forward, self._is_cuda = 0.0, model.forward, model.device.type == "cuda"
        model.forward = self._timed

    def now(self) -> float:
        """Return seconds since some moment, when the device has done its work."""
        if not self._is_cuda:
            return process_time()
        torch.cuda.synchronize()
        return perf_counter()

    def _timed(self, *args, **kwargs):
        start = self.now()
        try:
            return self._forward(*args, **kwargs)
        finally:
            self.in_model += self.now() - start


def bench_index(arguments: Namespace, folder: Path) -> None:
    model, tokenizer = model_and_tokenizer(arguments.backbone)
    step = arguments.window // 2
    bases = random_bases((arguments.indexed + 1) * step, np.random.default_rng(arguments.seed))
    index = Index.create(folder / "indexed", model, tokenizer=tokenizer, window_bp=arguments.window, step_bp=step)
    small = write_fasta(folder / "small.fa", {"c": bases[: 3 * step]})
    index.add(small)  # kernels are chosen, and memory is laid out
    large = write_fasta(folder / "large.fa", {"c": bases})
    clock = Clock(encoder_of(model))
    start = clock.now()
    index.add(large)
    taken = clock.now() - start
    n_windows = index.genomes[-1].n_windows
    print(
        f"index: {n_windows} windows of {arguments.window} bases, {n_windows / taken:.1f} windows/s, "
        f"{clock.in_model / taken:.1%} of the time in the model"
    )


# Searching.


def bench_search(arguments: Namespace, folder: Path) -> None:
    generator = np.random.default_rng(arguments.seed)
    centres = generator.normal(size=(500, arguments.width))
    store = random_store(arguments, folder / "random", centres, generator)
    queries = [list(near(centres, 2, generator)) for _ in range(arguments.queries)]
    print(
        f"search: {arguments.rows:,} windows, {arguments.width} numbers, {len(queries)} queries of two strands, k 10"
    )
    exact = timed_search("exact", store, queries, is_exact=True)
    start = perf_counter()
    update_index(store, "ivf")
    print(f"  the IVF index was made in {perf_counter() - start:.1f} s")
    found = timed_search("IVF", store, queries, is_exact=False)
    shares = [len(one & other) / len(one) for one, other in zip(exact, found, strict=True)]
    print(f"  recall@10 of the index against exact search: {np.mean(shares):.3f}")


def near(centres: np.ndarray, n_rows: int, generator: np.random.Generator) -> np.ndarray:
    """Return (rows, width) float32 around centres."""
    rows = centres[generator.integers(0, len(centres), n_rows)] + generator.normal(size=(n_rows, centres.shape[1]))
    return rows.astype(np.float32)


def random_store(arguments: Namespace, path: Path, centres: np.ndarray, generator: np.random.Generator) -> MiningStore:
    settings = StoreSettings("random", "", "float32", arguments.width, 512, 256, "forward", 0, "mean", "float32", "")
    store = create_store(path, settings)
    genome = StoredGenome("g", "", "", {"c": 256 * arguments.rows}, arguments.rows, 0, is_complete=False)

    def tables() -> Iterator[pa.Table]:
        for first in range(0, arguments.rows, CHUNK_ROWS):
            rows = range(first, min(first + CHUNK_ROWS, arguments.rows))
            windows = [GenomeWindow("c", 256 * row, 256 * row + 512, "+", "") for row in rows]
            yield window_table(settings, "g", windows, near(centres, len(rows), generator))

    store.begin(genome)
    store.commit(genome, tables())
    return store


def timed_search(name: str, store: MiningStore, queries: Sequence, *, is_exact: bool) -> list[set[tuple[int, int]]]:
    nearest(store, queries[0], n_rows=10, exact=is_exact)
    found, start = [], perf_counter()
    for vectors in queries:
        tables = nearest(store, vectors, n_rows=10, exact=is_exact)
        found.append({(i, start) for i, table in enumerate(tables) for start in table["start_bp"].to_pylist()})
    print(f"  {name:5} {len(queries) / (perf_counter() - start):8.1f} queries/s")
    return found


# Recall.


@dataclass(frozen=True)
class Copy:
    """A mutated copy of a gene.

    Attributes:
        rate: share of substituted bases.
        is_aligned: whether it is a window of the store.
        contig: in which it lies, of the genome `name`.
        start_bp: where it begins there.
    """

    rate: float
    is_aligned: bool
    contig: str
    start_bp: int

    @property
    def name(self) -> str:
        """Return the name of the genome that all copies of this kind are in."""
        return f"{'aligned' if self.is_aligned else 'between'}_{self.rate:g}"

    def is_found(self, hits: Sequence[Place], window_bp: int) -> bool:
        """Return whether a hit covers at least half of it."""
        return any(
            (hit.genome, hit.contig) == (self.name, self.contig)
            and min(hit.end_bp, self.start_bp + window_bp) - max(hit.start_bp, self.start_bp) >= window_bp / 2
            for hit in hits
        )


def random_bases(n_bases: int, generator: np.random.Generator) -> str:
    return "".join(generator.choice(list("ACGT"), n_bases))


def write_fasta(path: Path, contigs: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    return path


def mutated(bases: str, rate: float, generator: np.random.Generator) -> str:
    """Substitute exactly a share of the bases."""
    letters = np.array(list(bases))
    for place in generator.choice(len(letters), round(rate * len(letters)), replace=False):
        letters[place] = generator.choice([base for base in "ACGT" if base != letters[place]])
    return "".join(letters)


def known_pieces(path: str | Path, n_bases: int, n_pieces: int, generator: np.random.Generator) -> list[str]:
    """Return pieces from anywhere in a genome, without unknown bases."""
    contigs = [record.sequence.upper() for record in FastaSource(str(path)) if len(record.sequence) > n_bases]
    shares = np.array([len(contig) for contig in contigs]) / sum(map(len, contigs))
    pieces: list[str] = []
    while len(pieces) < n_pieces:
        contig = contigs[generator.choice(len(contigs), p=shares)]
        start = int(generator.integers(0, len(contig) - n_bases))
        piece = contig[start : start + n_bases]
        pieces += [piece] * (set(piece) <= set("ACGT"))
    return pieces


def plant(genes: Sequence[str], host: str, folder: Path, generator: np.random.Generator) -> tuple[list[Path], list]:
    """Write the host and a genome for each kind of copy; return the files, and the copies of each gene."""
    copies: list[list[Copy]] = [[] for _ in genes]
    contigs: dict[str, dict[str, str]] = {"host": {"host": host}}
    for rate in RATES:
        for is_aligned in (True, False):
            for number, gene in enumerate(genes):
                bases, offset = mutated(gene, rate, generator), 0
                if not is_aligned:
                    offset = len(gene) // 4
                    flank = int(generator.integers(0, len(host) - 2 * len(gene)))
                    around = host[flank : flank + 2 * len(gene)]
                    bases = around[:offset] + bases + around[offset + len(gene) :]
                copies[number].append(Copy(rate, is_aligned, f"gene{number}", offset))
                contigs.setdefault(copies[number][-1].name, {})[f"gene{number}"] = bases
    return [write_fasta(folder / f"{name}.fa", own) for name, own in contigs.items()], copies


class KmerSearch:
    """Ranks windows by the cosine of counts of k-mers, those of both strands added."""

    def __init__(self, paths: Sequence[Path], cut: WindowCut, k: int):
        self._k = k
        windows = [
            (path.stem, each) for path in paths for record in FastaSource(str(path)) for each in cut.windows(record)
        ]
        self._places = [(name, each.contig, each.start_bp, each.end_bp) for name, each in windows]
        self._vectors = np.stack([self._vector(each.bases) for _, each in windows])

    def hits(self, query: str, genomes: Sequence[str], n_hits: int) -> list[Place]:
        """Return the best places of some genomes."""
        cosines = self._vectors @ self._vector(query)
        found = zip(self._places, cosines, strict=True)
        return best_of_places(Place(*place, "+", cosine) for place, cosine in found if place[0] in genomes)[:n_hits]

    def _vector(self, bases: str) -> np.ndarray:
        counts = sum(self._counts(strand) for strand in (bases, reverse_complement(bases)))
        return counts / np.linalg.norm(counts)

    def _counts(self, bases: str) -> np.ndarray:
        codes = np.frombuffer(bases.encode(), np.uint8)
        digits = np.searchsorted(np.frombuffer(b"ACGT", np.uint8), codes) % 4
        n_words = len(digits) - self._k + 1
        words = sum(digits[i : i + n_words] * 4**i for i in range(self._k))
        return np.bincount(words, minlength=4**self._k).astype(np.float32)


class ModelSearch:
    """Ranks windows by the cosine of the model's vectors."""

    def __init__(self, index: Index):
        self._index = index

    def hits(self, query: str, genomes: Sequence[str], n_hits: int) -> list[Place]:
        """Return the best places of some genomes."""
        rows = self._index.query([query], k=n_hits, genomes=genomes).to_pylist()
        return [Place(*(row[name] for name in (*COORDINATES, "cosine"))) for row in rows]


def recall_of(search: KmerSearch | ModelSearch, genes: Sequence[str], copies: Sequence) -> dict[str, dict[int, float]]:
    """Return by kind of copy and k, which share of the copies is among the first k hits of host and copies."""
    found: dict[str, dict[int, list[bool]]] = {}
    for gene, own in zip(genes, copies, strict=True):
        for copy in own:
            hits = search.hits(gene, ["host", copy.name], max(TOP))
            for k in TOP:
                found.setdefault(copy.name, {}).setdefault(k, []).append(copy.is_found(hits[:k], len(gene)))
    return {name: {k: float(np.mean(each)) for k, each in own.items()} for name, own in found.items()}


def bench_recall(arguments: Namespace, folder: Path) -> None:
    generator = np.random.default_rng(arguments.seed)
    (host,) = known_pieces(arguments.host, arguments.host_bp, 1, generator)
    genes = known_pieces(arguments.genes, arguments.window, arguments.n_genes, generator)
    paths, copies = plant(genes, host, folder, generator)
    model, tokenizer = model_and_tokenizer(arguments.backbone)
    options = {"tokenizer": tokenizer, "window_bp": arguments.window, "layer": arguments.layer}
    searches: dict[str, KmerSearch | ModelSearch] = {}
    for pooling in arguments.pooling:
        index = Index.create(folder / f"store_{pooling}", model, pooling=pooling, **options)
        index.add(paths)
        searches[f"{arguments.backbone}, {pooling}"] = ModelSearch(index)
    for k in arguments.kmers:
        searches[f"{k}-mers"] = KmerSearch(paths, index.settings.cut, k)
    names = list(dict.fromkeys(copy.name for own in copies for copy in own))
    print(
        f"recall: {len(genes)} genes of {arguments.window} bases from {Path(arguments.genes).name}, planted in "
        f"{arguments.host_bp:,} bases of {Path(arguments.host).name}; share found by the first "
        f"{' / '.join(map(str, TOP))} hits"
    )
    print("\n| " + " | ".join(["", *(name.replace("_", " ") for name in names)]) + " |")
    print("|---" * (len(names) + 1) + "|")
    for name, search in searches.items():
        found = recall_of(search, genes, copies)
        cells = [" / ".join(f"{found[copy][k]:.2f}" for k in TOP) for copy in names]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    print(f"machine: {os.cpu_count()} CPUs; torch {torch.__version__}, {arguments.threads} threads")
    parts = {"index": bench_index, "search": bench_search, "recall": bench_recall}
    for name in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[name](arguments, Path(folder))


if __name__ == "__main__":
    main()
