"""Fine-tune DNA FM to tell splice sites apart: plain transformers code, ready to be copied.

    pip install 'dnafm[train]'
    python examples/01_finetune_splice_sites.py

It runs offline, in less than a minute on two CPU cores.
"""

import argparse
from functools import partial

from datasets import Dataset
from transformers import AutoConfig, AutoModelForSequenceClassification, Trainer, TrainingArguments, set_seed

import dnafm
from dnafm.data import load_splice_junctions
from dnafm.training.metrics import compute_metrics

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", default="runs/splice_sites")
parser.add_argument("--max_steps", type=int, default=-1, help="stop early, to try it out")
args = parser.parse_args()
set_seed(42)

# 1. Sequences of DNA and a class id each. Yours may come from `datasets.load_dataset("csv", data_files=...)`.
splits = load_splice_junctions()
tokenizer = dnafm.DNAFMTokenizer()
tables = {
    name: Dataset.from_dict(split.to_dict()).map(lambda batch: tokenizer(batch["sequence"]), batched=True)
    for name, split in splits.items()
}

# 2. A small fresh model. From a checkpoint, both lines are `.from_pretrained(checkpoint, id2label=..., label2id=...)`,
#    and the tokenizer above is `AutoTokenizer.from_pretrained(checkpoint)`.
id2label = dict(enumerate(splits.label_names))
config = AutoConfig.for_model(
    "dnafm",
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    classifier_pooling="cls",
    hidden_dropout=0.1,
    id2label=id2label,
    label2id={name: class_id for class_id, name in id2label.items()},
)
model = AutoModelForSequenceClassification.from_config(config)

# 3. Train, look at the validation split on the way, and report the test split once.
trainer = Trainer(
    model,
    TrainingArguments(
        args.output_dir,
        max_steps=args.max_steps,
        num_train_epochs=15,
        per_device_train_batch_size=32,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        weight_decay=0.1,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=False,  # worth it on a GPU; without one, torch warns about it
    ),
    train_dataset=tables["train"],
    eval_dataset=tables["validation"],
    processing_class=tokenizer,
    compute_metrics=partial(compute_metrics, label_names=splits.label_names),
)
trainer.train()
print(trainer.evaluate(tables["test"], metric_key_prefix="test"))

# 4. The folder loads with AutoModelForSequenceClassification and AutoTokenizer, wherever dnafm is imported.
trainer.save_model(args.output_dir)
print(f"Saved in {args.output_dir}.")
