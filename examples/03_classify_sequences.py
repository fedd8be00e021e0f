"""Classify sequences: which windows of primate DNA hold a splice junction, and of which kind.

    pip install 'dnafm[train]'
    python examples/03_classify_sequences.py

The data are UCI's, bundled with their source in dnafm/assets/splice_junctions: windows of 60 bases whose middle is the
start of an intron (donor), the end of one (acceptor), or neither. It runs offline, in a minute on two CPU cores.
"""

import argparse
from importlib import resources

from transformers import set_seed

from dnafm.data import SequenceClassificationTable, load_task_data
from dnafm.reports.metric_tables import format_metrics
from dnafm.tasks import SequenceClassification

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", default="runs/classify_sequences", help="a new folder")
parser.add_argument("--max_steps", type=int, default=-1, help="stop early, to try it out")
args = parser.parse_args()
set_seed(42)

# 1. A table with a sequence and a label in each row. It has no splits, so they are made: 72:8:20, each class alike.
path = resources.files("dnafm") / "assets" / "splice_junctions" / "splice_junctions.tsv.gz"
data = load_task_data(SequenceClassificationTable(path=str(path)), max_bases=1024)
print({name: len(rows) for name, rows in data.splits.items()}, data.label_names)

# 2. The backbone with a fresh head, which sees the [CLS] token: it has every base at a fixed distance.
task = SequenceClassification.from_config({"model.backbone": "dnafm_tiny", "model.pooling": "cls"}, data=data)

# 3. Train. The weights that are kept are those of the best Matthews correlation on the validation split.
result = task.fit(data, output_dir=args.output_dir, num_train_epochs=2, max_steps=args.max_steps)

# 4. Measure on sequences that it has not seen; classes are told apart.
print(format_metrics({"validation": result.metrics, "test": task.evaluate(data)}))

# 5. Load it back and predict. AutoModelForSequenceClassification loads the folder, too.
task = SequenceClassification.from_pretrained(args.output_dir)
sequences = data.splits["test"]["sequence"][:3]
print(task.predict(sequences).drop_columns("sequence").to_pandas().round(3).to_string())
