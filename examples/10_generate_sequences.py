"""Design sequences: dnafm_tiny fills masked bases, and a classifier says which way to go.

    pip install 'dnafm[train,plots]'
    python examples/10_generate_sequences.py

UCI's bundled windows of 60 bases that hold no splice junction get one: their middle 10 bases are designed again, to be
a donor, the start of an intron at base 31. Whether they are is judged by a logistic regression that has not guided.
It runs offline, in under a minute on one CPU core. On the command line the same is

    dnafm generate templates.fa -o designs.fa --guide runs/generate/guide --target donor --strength 6 \
        --max_homopolymer 6 --refinement_rounds 15 --refinement_share 0.2 --plot course.png
"""

import argparse
import random
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import set_seed

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.generation import generate
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import Template
from dnafm.analysis.sequence_constraints import SequenceConstraints
from dnafm.checkpoints import backbone_location
from dnafm.data import SequenceClassificationTable, load_splice_junctions, load_task_data
from dnafm.reports.generation_figures import plot_guide_values
from dnafm.tasks import SequenceClassification
from dnafm.training.baselines import fit_logistic_regression

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output_dir", type=Path, default=Path("runs/generate"), help="a new folder")
parser.add_argument("--n", type=int, default=24, help="templates (default: 24)")
parser.add_argument("--max_steps", type=int, default=-1, help="stop the training of the guide early, to try it out")
args = parser.parse_args()
set_seed(42)
torch.set_num_threads(1)  # for models of this size threads cost more than they compute

# 1. Data of the guide: the middle 30 bases of each window, and as many donors again whose middle is random. Without
# those it has never seen what is near to a donor and none, and is easily fooled.
splits, middle = load_splice_junctions(), slice(15, 45)
donor, neither = (splits.label_names.index(name) for name in ("donor", "neither"))
rows = [
    (sequence[middle], splits.label_names[label], name)
    for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
    for sequence, label in zip(split.sequences, split.labels, strict=True)
]
generator = random.Random(42)
rows += [
    (f"{sequence[:11]}{''.join(generator.choices('ACGT', k=10))}{sequence[21:]}", "neither", split)
    for sequence, label, split in rows
    if (label, split) == ("donor", "train")
]
args.output_dir.mkdir(parents=True, exist_ok=True)
table = args.output_dir / "guide.tsv"
table.write_text("sequence\tlabel\tsplit\n" + "".join("\t".join(row) + "\n" for row in rows))
data = load_task_data(SequenceClassificationTable(path=str(table)), max_bases=1024)

# 2. The guide: a small classifier.
architecture = {"hidden_size": 48, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
task = SequenceClassification.from_config(
    {"model": {"from_scratch": True, "pooling": "cls", "config_overrides": architecture}}, data=data
)
options = {"num_train_epochs": 12, "learning_rate": 3e-3, "bf16": False, "max_steps": args.max_steps}
options |= {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
task.fit(data, output_dir=args.output_dir / "guide", max_tokens_per_batch=2000, **options)


class DonorGuide:
    """Anything with `scores` is a guide: here log p(donor), in nats."""

    max_bases = task.max_bases

    def scores(self, sequences):
        """Return (sequences,)."""
        return np.log(np.maximum(task.predict(sequences)["probability_donor"].to_numpy(), 1e-12))


# 3. The judge, on whole windows of the training split: logistic regression on the 2-mer at each place.
def placed_kmers(sequences, *, k):
    """Encode the k-mer at each place as 4**k indicators."""
    codes = np.array([["ACGT".find(base) for base in sequence] for sequence in sequences])
    windows = np.lib.stride_tricks.sliding_window_view(codes, k, axis=1)
    numbers = np.where((windows >= 0).all(axis=2), windows @ 4 ** np.arange(k), -1)
    return (numbers[:, :, None] == np.arange(4**k)).reshape(len(sequences), -1).astype(np.float32)


judge = fit_logistic_regression(splits.train, splits.validation, featurize=partial(placed_kmers, k=2))

# 4. Templates: windows of the test split without a junction, of which the middle 10 bases are masked. The guide reads
# the middle 30, and the model all of it.
of_class = {
    label: [sequence for sequence, own in zip(splits.test.sequences, splits.test.labels, strict=True) if own == label]
    for label in (donor, neither)
}
originals = [sequence for sequence in of_class[neither] if set(sequence) <= set("ACGT")][: args.n]
templates = [
    Template(f"t{i}", f"{each[15:26]}{'?' * 10}{each[36:45]}", before=each[:15], after=each[45:])
    for i, each in enumerate(originals)
]

# 5. Fill them, as the model draws, and as the guide wants it.
location = backbone_location("dnafm_tiny")
model, tokenizer = DNAFMForMaskedLM.from_pretrained(location).eval(), DNAFMTokenizer.from_pretrained(location)
results = {}
for name, guidance in (("unguided", None), ("guided", Guidance(DonorGuide(), strength=6.0))):
    sampling = Sampling(refinement_rounds=15 if guidance else 0, refinement_share=0.2)
    drawn = generate(
        BasePredictor(model, tokenizer, strand="forward"),
        templates,
        sampling=sampling,
        guidance=guidance,
        constraints=SequenceConstraints(max_homopolymer=6),
    )
    results[name] = [result for result in drawn if result.sequence is not None]

# 6. The mean probability of a donor: by the guide, and by the judge that has not guided.
print(f"{'mean p(donor)':14}   guide   judge   GT at base 31")
by_id = {template.id: template for template in templates}
groups = {name: [by_id[each.template].window(each.sequence) for each in of_run] for name, of_run in results.items()}
for name, own in {"as they were": originals, **groups, "real donors": of_class[donor]}.items():
    by_guide = np.exp(DonorGuide().scores([each[middle] for each in own])).mean()
    by_judge = judge.classifier.predict_proba(judge.featurize(own))[:, donor].mean()
    print(f"{name:14}{by_guide:8.3f}{by_judge:8.3f}{np.mean([each[30:32] == 'GT' for each in own]):16.2f}")
for name, of_run in results.items():
    print(f"{name}: {np.mean([each.log_likelihood for each in of_run]):.2f} nats a designed base")
accepted = [each.acceptance_rate for each in results["guided"] if each.acceptance_rate is not None]
print(f"Metropolis-Hastings accepted {np.mean(accepted):.0%} of the changes of a base.")

# 7. FASTA with scores in the header, and the course of the guide's value.
(args.output_dir / "designs.fa").write_text("".join(each.to_fasta() for each in results["guided"]))
reference = float(np.median(DonorGuide().scores([each.sequence for each in results["unguided"]])))
plot_guide_values(
    results["guided"], args.output_dir / "course.png", guide_name="log p(donor), nats", reference=reference
)
print(f"Designs and figure are in {args.output_dir}.")
