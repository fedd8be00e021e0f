"""Print the windows that each rank of a pretraining run trains on."""

import json
import sys

import yaml

from dnafm.training.pretraining import build_trainer, prepare
from dnafm.training.pretraining_settings import PretrainingSettings

with open(sys.argv[1]) as stream:
    plan = prepare(PretrainingSettings(**yaml.safe_load(stream)))
trainer = build_trainer(plan)
seen = []


def record(samples):
    """Note the keys of a batch and collate it as usual."""
    seen.extend([sample["epoch"], sample["sample_index"]] for sample in samples)
    return collate(samples)


collate, trainer.data_collator = trainer.data_collator, record
trainer.train()
print(json.dumps(seen), flush=True)
