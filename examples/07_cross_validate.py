"""Cross-validate: how much a result depends on which sequences it is trained on.

    pip install 'dnafm[train]'
    python examples/07_cross_validate.py

Splice donors against acceptors, of the data bundled in dnafm/assets/splice_junctions. It runs offline, in a minute on
two CPU cores. On the command line: `dnafm fit ... --data.folds 5 --data.fold all`; recipes/splice_junctions has the
three classes and five folds.
"""

import argparse
from importlib import resources

from transformers import set_seed

from dnafm.data import SequenceClassificationTable, load_task_data
from dnafm.reports.metric_tables import format_folds
from dnafm.tasks import SequenceClassification

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", default="runs/cross_validate", help="a new folder")
parser.add_argument("--folds", type=int, default=3, help="default: %(default)s")
parser.add_argument("--max_steps", type=int, default=-1, help="stop early, to try it out")
args = parser.parse_args()

path = resources.files("dnafm") / "assets" / "splice_junctions" / "splice_junctions.tsv.gz"
metrics = {}
for fold in range(args.folds):
    # Each fold is the test split once. A tenth of the others, each class alike, is the validation split.
    table = SequenceClassificationTable(path=str(path), classes=["donor", "acceptor"], folds=args.folds, fold=fold)
    data = load_task_data(table, max_bases=1024)
    # Every fold starts from the same head.
    set_seed(42)
    task = SequenceClassification.from_config({"model.backbone": "dnafm_tiny", "model.pooling": "cls"}, data=data)
    task.fit(data, output_dir=f"{args.output_dir}/fold-{fold}", num_train_epochs=2, max_steps=args.max_steps)
    metrics[f"fold {fold}"] = task.evaluate(data)
print(format_folds(metrics))
