import pytest
import torch


@pytest.fixture
def varlen_by_loop():
    """A stand-in for a variable-length kernel, called as `flash_attention_2_function` promises."""

    def varlen_by_loop(query_THD, key_THD, value_THD, cu_seq_lens, max_length, *, scaling, dropout):
        """What a FlashAttention-2 kernel computes, written as a loop over sequences."""
        outputs = []
        for start, stop in zip(cu_seq_lens[:-1].tolist(), cu_seq_lens[1:].tolist(), strict=True):
            assert stop - start <= max_length
            q, k, v = (states[start:stop].transpose(0, 1) for states in (query_THD, key_THD, value_THD))
            outputs.append(((q @ k.transpose(-1, -2) * scaling).softmax(-1) @ v).transpose(0, 1))
        return torch.cat(outputs)

    return varlen_by_loop
