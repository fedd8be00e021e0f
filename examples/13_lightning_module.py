"""Train DNA FM with PyTorch Lightning: a module of ten lines, and Lightning does the rest.

    pip install lightning 'dnafm[train]'
    python examples/13_lightning_module.py

The data are windows of 60 bases of primate genes with a donor, an acceptor or neither at the middle
(dnafm/assets/splice_junctions). It runs offline, in about a minute on two CPU cores. What is saved at the end is an
ordinary checkpoint, which `from_pretrained` loads without Lightning.
"""

import argparse

import lightning
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, logging

from dnafm import DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.checkpoints import backbone_location
from dnafm.data import load_splice_junctions
from dnafm.data.splice_junctions import LABEL_NAMES

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--max_steps", type=int, default=-1, help="stop after so many steps, to try it out")
parser.add_argument("--output_dir", default="runs/lightning", help="folder of the trained model")
args = parser.parse_args()


# 1. The module. The model computes its own loss.
class SpliceSites(lightning.LightningModule):
    """A model of transformers in training."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch):
        """The loss of a batch."""
        return self.model(**batch).loss

    def validation_step(self, batch):
        """The share of a batch that is right."""
        correct = self.model(**batch).logits.argmax(-1) == batch["labels"]
        self.log("accuracy", correct.float().mean(), batch_size=len(correct), prog_bar=True)

    def configure_optimizers(self):
        """All weights with AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


# 2. The pretrained encoder with a fresh head, and loaders of token ids.
lightning.seed_everything(42)
logging.set_verbosity_error()  # that the head is fresh is what we want
splits = load_splice_junctions()
location = backbone_location("dnafm_tiny")
tokenizer = DNAFMTokenizer.from_pretrained(location)
model = DNAFMForSequenceClassification.from_pretrained(location, num_labels=len(LABEL_NAMES)).train()


def loader(split, **options):
    ids = tokenizer(split.sequences)["input_ids"]
    rows = [{"input_ids": each, "label": label} for each, label in zip(ids, split.labels, strict=True)]
    return DataLoader(rows, batch_size=32, collate_fn=DataCollatorWithPadding(tokenizer), **options)


# 3. One pass over the training split, then the accuracy on the test split.
module = SpliceSites(model)
trainer = lightning.Trainer(
    max_epochs=1,
    max_steps=args.max_steps,
    accelerator="auto",
    devices=1,
    gradient_clip_val=1.0,
    logger=False,
    enable_checkpointing=False,
    enable_model_summary=False,
)
trainer.fit(module, loader(splits.train, shuffle=True), loader(splits.validation))
(measured,) = trainer.validate(module, loader(splits.test), verbose=False)
print(f"accuracy on {len(splits.test.labels)} test sequences: {measured['accuracy']:.3f}")

# 4. The checkpoint is that of the model, not of Lightning.
module.model.save_pretrained(args.output_dir)
tokenizer.save_pretrained(args.output_dir)
again = DNAFMForSequenceClassification.from_pretrained(args.output_dir)
print(f"{args.output_dir} holds {type(again).__name__} with {again.num_parameters():,} parameters.")
