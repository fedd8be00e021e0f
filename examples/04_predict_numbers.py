"""Predict numbers: how many CpGs a sequence has, for its C and G.

    pip install 'dnafm[train]'
    python examples/04_predict_numbers.py

Vertebrates lose CpGs where they are methylated. The ratio of Gardiner-Garden & Frommer (1987), CpGs seen over CpGs
expected, tells how many are left. The sequences are the bundled windows of primate genes, 60 bases each. The number
follows from the sequence, so a model can become exact: this shows how well it learns to count, and is no discovery.
It runs offline, in a minute on two CPU cores.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from transformers import set_seed

from dnafm.data import SequenceRegressionTable, load_task_data
from dnafm.data.splice_junctions import read_splice_junctions
from dnafm.reports.metric_tables import format_metrics
from dnafm.tasks import SequenceRegression

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", default="runs/predict_numbers", help="a new folder")
parser.add_argument("--max_steps", type=int, default=-1, help="stop early, to try it out")
args = parser.parse_args()
set_seed(42)

# 1. A table with a sequence and a number in each row. Without a C or a G nothing is expected.
table = pd.DataFrame({"sequence": read_splice_junctions().sequences})
n_c, n_g = table.sequence.str.count("C"), table.sequence.str.count("G")
table["cpg_ratio"] = table.sequence.str.count("CG") * table.sequence.str.len() / (n_c * n_g)
table["gc"] = (n_c + n_g) / table.sequence.str.len()
with TemporaryDirectory() as folder:
    path = Path(folder) / "cpg.csv"
    table[n_c * n_g > 0].to_csv(path, index=False)
    data = load_task_data(SequenceRegressionTable(path=str(path), label_column="cpg_ratio"), max_bases=1024)

# 2. The targets are standardised for the training, by the mean and deviation of the train split.
task = SequenceRegression.from_config({"model.backbone": "dnafm_tiny", "model.pooling": "mean"}, data=data)
print(data.target_scaler)

# 3. Train; what is kept are the weights of the best rank correlation on the validation split.
result = task.fit(data, output_dir=args.output_dir, num_train_epochs=2, max_steps=args.max_steps)

# 4. Metrics and predictions are in the units of the data.
print(format_metrics({"validation": result.metrics, "test": task.evaluate(data)}))
test = task.predict(data.splits["test"]).to_pandas()
test["labels"] = test.labels.str[0]
print(f"Pearson correlation with the share of C and G alone: {test.labels.corr(test.gc.astype(float)):.3f}")
print(test[["labels", "prediction"]].head().to_string())
