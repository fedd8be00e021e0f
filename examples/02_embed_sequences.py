"""Embed sequences: one vector for each, their principal components, and their nearest neighbours.

    pip install 'dnafm[train]'
    python examples/02_embed_sequences.py

The sequences are the windows of 60 bases of primate genes in dnafm/assets/splice_junctions. Nothing is trained. It
runs offline, in half a minute on two CPU cores.
"""

import argparse

import numpy as np

import dnafm
from dnafm.data import load_splice_junctions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--max_sequences", type=int, help="of each split, to try it out")
args = parser.parse_args()

splits = load_splice_junctions()
library = splits.train.sequences[: args.max_sequences]
queries = splits.test.sequences[: args.max_sequences]

# 1. A vector for each token: [CLS], the bases, [EOS]. Without special_tokens they are those of the bases alone.
tokens = dnafm.embed("dnafm_tiny", queries[:2], pooling="none", special_tokens=True)
print("tokens:", np.stack(tokens).shape)

# 2. The mean over the bases of each sequence. The model can be one that is loaded already, too, and the sequences of
# any length and number: `dnafm.iter_embeddings` yields one vector after the other.
embeddings = dnafm.embed("dnafm_tiny", [*library, *queries])
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
