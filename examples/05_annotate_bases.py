"""Annotate bases: which ones are exon and which are intron.

    pip install 'dnafm[train]'
    python examples/05_annotate_bases.py

The data are the splice junctions bundled in dnafm/assets/splice_junctions, as a FASTA file with a BED file of its
exons. All have their junction in the middle, which a model would learn at once; so pieces of 40 bases are cut out of
the 60 at random, with the junction anywhere from the 10th base to the 30th. It runs offline, in a minute on two CPU
cores.
"""

import argparse
import random
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import set_seed

from dnafm.data import TokenClassificationTable, load_task_data
from dnafm.data.splice_junctions import read_splice_junctions
from dnafm.reports.metric_tables import format_metrics
from dnafm.tasks import TokenClassification

JUNCTION_BP, PIECE_BP = 30, 40  # exon | intron of a donor, intron | exon of an acceptor

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", default="runs/annotate_bases", help="a new folder")
parser.add_argument("--max_steps", type=int, default=-1, help="stop early, to try it out")
args = parser.parse_args()
set_seed(42)

# 1. A FASTA file and intervals over it. Bases that no interval covers are of the class `background`.
table = read_splice_junctions()
generator = random.Random(42)
records, intervals = [], []
for name, sequence, label in zip(table.ids, table.sequences, table.labels, strict=True):
    if label < 2:  # 0 is a donor, 1 an acceptor, and 2 has no junction
        start_bp = generator.randint(0, len(sequence) - PIECE_BP)
        junction_bp = JUNCTION_BP - start_bp
        exon = (0, junction_bp) if label == 0 else (junction_bp, PIECE_BP)
        records.append(f">{name}\n{sequence[start_bp : start_bp + PIECE_BP]}\n")
        intervals.append(f"{name}\t{exon[0]}\t{exon[1]}\texon\n")
with TemporaryDirectory() as folder:
    fasta, bed = Path(folder) / "pieces.fa", Path(folder) / "exons.bed"
    fasta.write_text("".join(records))
    bed.write_text("".join(intervals))
    data = load_task_data(
        TokenClassificationTable(path=str(fasta), labels=str(bed), background="intron"), max_bases=1024
    )
print({name: len(rows) for name, rows in data.splits.items()}, data.label_names)

# 2. A head that gives each base its class.
task = TokenClassification.from_config({"model.backbone": "dnafm_tiny"}, data=data)
result = task.fit(data, output_dir=args.output_dir, num_train_epochs=6, max_steps=args.max_steps)
print(format_metrics({"validation": result.metrics, "test": task.evaluate(data)}))

# 3. One class and its probability for each base.
test = data.splits["test"]
predicted = [[row[0] for row in bases] for bases in task.predict(test["sequence"])["prediction"].to_pylist()]
annotated = [[data.label_names[label][0] for label in row] for row in test["labels"]]
exact = sum(found == known for found, known in zip(predicted, annotated, strict=True)) / len(test)
print(f"All {PIECE_BP} bases are right in {exact:.1%} of the test sequences.")
for title, line in (("sequence", test["sequence"][0]), ("annotated", annotated[0]), ("predicted", predicted[0])):
    print(f"{title:10}{''.join(line)}")
