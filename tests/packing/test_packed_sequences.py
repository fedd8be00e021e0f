"""Packing and unpacking, and the kernels on packed sequences, against loops that can be read at a glance."""

import pytest
import torch
from torch import nn

from dnafm.kernels_dnafm import (
    PackedSequences,
    attention_by_runs,
    eager_attention_forward,
    flash_attention_2_forward,
    packed_sequences,
    positions_from_mask,
)

MASK = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 0, 0]]).bool()


def pack(mask=MASK):
    return PackedSequences.from_mask(mask, positions_from_mask(mask))


def random_states(batch_size, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch_size, 2, length, 8, generator=generator) for _ in range(3)]


def test_longest_sequences_come_first_and_empty_rows_vanish():
    """Three tokens of row 2, then two of row 0 and two of row 3; boundaries, runs and positions follow."""
    packed = pack()
    assert packed.token_indices.tolist() == [9, 10, 11, 0, 1, 12, 13]
    assert packed.cu_seq_lens.tolist() == [0, 3, 5, 7]
    assert packed.cu_seq_lens.dtype == torch.int32
    assert packed.max_length == 3
    assert packed.runs == ((1, 3), (2, 2))
    assert packed.position_ids.tolist() == [[0, 1, 2, 0, 1, 0, 1]]


def test_unpacking_undoes_packing_and_fills_zeros():
    """(B, L, ...) to (1, T, ...) and back."""
    states = torch.arange(1.0, 17).reshape(4, 4)[..., None]
    packed = pack()
    assert packed.pack(states).flatten().tolist() == [10, 11, 12, 1, 2, 13, 14]
    assert torch.equal(packed.unpack(packed.pack(states)), states * MASK[..., None])


def test_rows_without_padding_are_not_packed():
    """A full mask, no mask, and positions that run through leave nothing to gain."""
    assert packed_sequences(torch.ones(2, 3, dtype=torch.bool), None, (2, 3)) is None
    assert packed_sequences(None, None, (2, 3)) is None
    assert packed_sequences(None, torch.arange(3)[None], (2, 3)) is None


def test_positions_that_restart_are_packed_only_without_a_mask():
    """As transformers defines packed input."""
    position_ids = torch.tensor([[0, 1, 0, 1, 2]])
    assert packed_sequences(None, position_ids, (1, 5)).runs == ((1, 2), (1, 3))
    assert packed_sequences(torch.ones(1, 5, dtype=torch.bool), position_ids, (1, 5)) is None


@pytest.mark.parametrize("boundaries", [[0, 2, 4], [1, 3, 5], [0, 3, 3, 5], [0, 4, 2, 5]])
def test_boundaries_that_do_not_tile_the_row_are_refused(boundaries):
    """The message shows them and says what they must be."""
    with pytest.raises(ValueError, match=r"cu_seq_lens_q=.* must rise from 0 to the length"):
        packed_sequences(None, None, (1, 5), cu_seq_lens=torch.tensor(boundaries))


def test_attention_by_runs_is_attention_of_each_sequence(varlen_by_loop):
    """Runs of equal length go to the kernel as rectangular batches; nothing crosses a boundary."""
    packed = pack()
    states = random_states(1, 7)
    found, _ = attention_by_runs(
        eager_attention_forward, nn.Identity(), *states, None, sequence_runs=packed.runs, scaling=0.5
    )
    flat = [x[0].transpose(0, 1) for x in states]
    torch.testing.assert_close(found[0], varlen_by_loop(*flat, packed.cu_seq_lens, 3, scaling=0.5, dropout=0.0))


def test_eager_attention_takes_bool_and_additive_masks():
    """True where a query may look is the same as zero there and the lowest number elsewhere."""
    states = random_states(2, 5)
    allowed = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.7
    allowed[..., 0] = True
    additive = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    for mask in (allowed, additive):
        output, probabilities = eager_attention_forward(nn.Identity().eval(), *states, mask, scaling=0.5)
        expected = nn.functional.scaled_dot_product_attention(*states, attn_mask=allowed, scale=0.5)
        torch.testing.assert_close(output, expected.transpose(1, 2))
        assert not probabilities[~allowed.expand_as(probabilities)].any()


def test_flash_attention_2_takes_rectangular_padded_and_packed_batches(varlen_by_loop):
    """Whatever form the batch has, the kernel sees the sequences alone."""
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    states = random_states(2, 3)
    rectangular, _ = flash_attention_2_forward(varlen_by_loop, nn.Identity(), *states, None, scaling=0.5)
    expected, _ = eager_attention_forward(nn.Identity().eval(), *states, None, scaling=0.5)
    torch.testing.assert_close(rectangular, expected)

    padded, _ = flash_attention_2_forward(varlen_by_loop, nn.Identity(), *states, mask, scaling=0.5)
    expected, _ = eager_attention_forward(nn.Identity().eval(), *states, mask[:, None, None], scaling=0.5)
    torch.testing.assert_close(padded[mask], expected[mask])

    packed = PackedSequences.from_mask(mask, positions_from_mask(mask))
    in_one_row = [packed.pack(x.transpose(1, 2)).transpose(1, 2) for x in states]
    found, _ = flash_attention_2_forward(
        varlen_by_loop, nn.Identity(), *in_one_row, None, scaling=0.5, **packed.attention_kwargs()
    )
    torch.testing.assert_close(packed.unpack(found)[mask], expected[mask])
