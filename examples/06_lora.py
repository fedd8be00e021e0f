"""Train low-rank adapters (LoRA) instead of all weights.

    pip install 'dnafm[train]'
    python examples/06_lora.py

What makes DNA FM 7B fit on one GPU (recipes/finetune_7b_lora.md), here on the small bundled model and the splice
junctions of dnafm/assets/splice_junctions. It runs offline, in a minute on two CPU cores.
"""

import argparse
from importlib import resources
from pathlib import Path

from transformers import set_seed

from dnafm.data import SequenceClassificationTable, load_task_data
from dnafm.reports.metric_tables import format_metrics
from dnafm.tasks import SequenceClassification

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", default="runs/lora", help="a new folder")
parser.add_argument("--max_steps", type=int, default=-1, help="stop early, to try it out")
args = parser.parse_args()
set_seed(42)

path = resources.files("dnafm") / "assets" / "splice_junctions" / "splice_junctions.tsv.gz"
data = load_task_data(SequenceClassificationTable(path=str(path)), max_bases=1024)

# 1. Each matrix of queries and values W becomes W + alpha / r * B A, of which B and A are trained, and with them the
#    head. A wrong name of a module is an error.
options = {
    "model.backbone": "dnafm_tiny",
    "model.pooling": "cls",
    "model.lora.r": 16,
    "model.lora.alpha": 32,
    "model.lora.target_modules": ["q_proj", "v_proj"],
}
task = SequenceClassification.from_config(options, data=data)
n_trained = sum(weight.numel() for weight in task.parameters() if weight.requires_grad)
n_all = sum(weight.numel() for weight in task.parameters())
print(f"{n_trained:,} of {n_all:,} parameters are trained.")

# 2. Adapters take a higher learning rate than the weights themselves would.
result = task.fit(data, output_dir=args.output_dir, num_train_epochs=2, learning_rate=3e-3, max_steps=args.max_steps)
print(format_metrics({"validation": result.metrics, "test": task.evaluate(data)}))

# 3. The folder holds the whole model, adapters merged into its weights, and beside it the adapters alone.
for weights in ("model.safetensors", "adapter/adapter_model.safetensors"):
    print(f"{weights}: {(Path(args.output_dir) / weights).stat().st_size / 1e6:.1f} MB")
merged = SequenceClassification.from_pretrained(args.output_dir)
batch = task.collate({"sequences": data.splits["test"]["sequence"][:32]})
print(f"Merging changes logits by less than 1e-4: {bool((merged(batch) - task(batch)).abs().max() < 1e-4)}.")
