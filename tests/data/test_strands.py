"""The other strand of batches of ids, and of outputs."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dnafm import DNAFMTokenizer
from dnafm.data.strands import (
    complement_vocabulary,
    flip_tokens,
    other_strand,
    strand_permutation,
)
from dnafm.genomics import reverse_complement

IUPAC = "ACGTNRYSWKMBDHVacgtn"


@given(st.lists(st.text(IUPAC, min_size=1, max_size=12), min_size=1, max_size=5), st.sampled_from(["left", "right"]))
def test_ids_of_the_other_strand_are_those_of_its_text(sequences, padding_side):
    """For ragged batches, padded on either side, with any suffix."""
    tokenizer = DNAFMTokenizer()
    options = {"padding": True, "padding_side": padding_side, "return_tensors": "pt"}
    input_ids = tokenizer(sequences, **options)["input_ids"]
    expected = tokenizer([reverse_complement(sequence) for sequence in sequences], **options)["input_ids"]
    assert torch.equal(other_strand(input_ids), expected)
    assert torch.equal(other_strand(other_strand(input_ids)), input_ids)


def test_tokens_change_places_and_edges_stay():
    """[CLS] A C G [EOS] [PAD]: the bases are turned round, the rest keeps its index."""
    input_ids = DNAFMTokenizer()(["ACG", "ACGT"], padding=True, return_tensors="pt")["input_ids"]
    assert strand_permutation(input_ids).tolist() == [[0, 3, 2, 1, 4, 5], [0, 4, 3, 2, 1, 5]]
    values = torch.arange(12.0).view(2, 6)
    assert flip_tokens(values, input_ids).tolist() == [[0, 3, 2, 1, 4, 5], [6, 10, 9, 8, 7, 11]]
    assert torch.equal(
        flip_tokens(values[..., None].expand(2, 6, 3), input_ids)[..., 2], flip_tokens(values, input_ids)
    )


def test_logits_of_complementary_bases_are_exchanged():
    """A with T and C with G; all else stays, and doing it twice changes nothing."""
    logits = torch.arange(16.0)
    names = DNAFMTokenizer().convert_ids_to_tokens(complement_vocabulary(logits).long().tolist())
    assert [names[i] for i in range(5, 11)] == ["T", "C", "G", "A", "U", "N"]
    assert torch.equal(complement_vocabulary(complement_vocabulary(logits)), logits)
