"""Embed sequences: one vector for each, their principal components, and their nearest neighbours.

    pip install 'dnafm[train]'
    python examples/02_embed_sequences.py

The sequences are the windows of 60 bases of primate genes in dnafm/assets/splice_junctions. Nothing is trained. It
runs offline, in half a minute on two CPU cores.
"""

import argparse

import numpy as np
import torch

from dnafm.data import load_splice_junctions
from dnafm.tasks import Embed

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--max_sequences", type=int, help="of each split, to try it out")
args = parser.parse_args()

splits = load_splice_junctions()
library = splits.train.sequences[: args.max_sequences]
queries = splits.test.sequences[: args.max_sequences]

# 1. The task is a module: a vector for each token, [CLS] and [EOS] at the ends.
task = Embed.from_config({"model.backbone": "dnafm_tiny"})
with torch.no_grad():
    print("tokens:", tuple(task(task.collate({"sequences": queries[:2]})).shape))

# 2. The mean over the bases of each; `predict` makes the batches.
task = Embed.from_config({"model.backbone": "dnafm_tiny", "model.pooling": "mean"})
embeddings = np.stack(task.predict([*library, *queries])["embedding"].to_pylist())
print("sequences:", embeddings.shape)

# 3. What varies most between them is the share of C and G.
centred = embeddings - embeddings.mean(axis=0)
components, sizes, _ = np.linalg.svd(centred, full_matrices=False)
share_gc = [sum(base in "CG" for base in sequence) / len(sequence) for sequence in (*library, *queries)]
correlation = abs(np.corrcoef(components[:, 0], share_gc)[0, 1])
print(
    f"The first principal component has {sizes[0] ** 2 / (sizes**2).sum():.0%} of the variance; its correlation with "
    f"the share of C and G is {correlation:.2f}."
)

# 4. Some queries have a relative in the library, of the same gene family: 48 of 60 bases agree. Is it the nearest?
unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
nearest = (unit[len(library) :] @ unit[: len(library)].T).argmax(axis=1)
library_bases, query_bases = (np.array([list(sequence) for sequence in each]) for each in (library, queries))
n_equal = np.stack([(library_bases == query).sum(axis=1) for query in query_bases])
has_relative = n_equal.max(axis=1) >= 48
is_found = n_equal[np.arange(len(queries)), nearest] >= 48
print(f"The nearest neighbour is a relative for {is_found.sum()} of the {has_relative.sum()} queries that have one.")

# 5. The closest pair.
if has_relative.any():
    query = int(np.argmax(n_equal[np.arange(len(queries)), nearest]))
    print(f"query    {queries[query]}\nnearest  {library[nearest[query]]}")
