"""Padded = unpadded = packed = alone, for every attention kernel that runs here, forward and backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMModel, KernelChoice, KernelReport, kernels_dnafm, modeling_dnafm

LENGTHS = (9, 23, 1, 9, 16)
KERNELS = ("auto", "sdpa", "eager", pytest.param("flex_attention", marks=pytest.mark.slow))
# Kernels whose backward pass runs on a CPU.
KERNELS_WITH_GRADIENTS = ("auto", "sdpa", "eager")


def tiny_model(attention="eager", model_class=DNAFMModel, **config):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = model_class(DNAFMConfig(**{**sizes, **config}, attn_implementation=attention, initializer_range=0.3))
    return model.eval()


def random_sequences(lengths=LENGTHS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(16, (length,), generator=generator) for length in lengths]


def pad(sequences, *, side="right"):
    length = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        place = slice(length - len(sequence), None) if side == "left" else slice(len(sequence))
        ids[row, place], mask[row, place] = sequence, 1
    return {"input_ids": ids, "attention_mask": mask}


def encode_alone(model, sequences):
    """The slow way: one sequence a pass, without a mask. All tokens after one another, (T, hidden)."""
    return torch.cat([model(sequence[None]).last_hidden_state[0] for sequence in sequences])


def attended(model, batch):
    return model(**batch).last_hidden_state[batch["attention_mask"].bool()]


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_padded_batch_gives_what_each_sequence_gives_alone(attention, side):
    """Neither padding nor its side changes a token."""
    sequences = random_sequences()
    with torch.no_grad():
        expected = encode_alone(tiny_model("eager"), sequences)
        found = attended(tiny_model(attention), pad(sequences, side=side))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", KERNELS)
def test_packed_row_gives_what_each_sequence_gives_alone(attention):
    """Sequences end to end in one row, told apart by positions that restart, do not see each other."""
    sequences = random_sequences()
    ids = torch.cat(sequences)[None]
    position_ids = torch.cat([torch.arange(len(sequence)) for sequence in sequences])[None]
    with torch.no_grad():
        expected = encode_alone(tiny_model("eager"), sequences)
        found = tiny_model(attention)(ids, position_ids=position_ids).last_hidden_state[0]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("records", [False, True])
def test_boundaries_pack_like_positions_that_restart(records):
    """`cu_seq_lens_q` alone says the same, also where hidden states are recorded and the padded path runs."""
    sequences = random_sequences()
    boundaries = torch.tensor([0, *(len(sequence) for sequence in sequences)]).cumsum(0).int()
    with torch.no_grad():
        expected = encode_alone(tiny_model("eager"), sequences)
        position_ids = torch.cat([torch.arange(len(sequence)) for sequence in sequences])[None]
        found = tiny_model("sdpa")(
            torch.cat(sequences)[None],
            position_ids=position_ids,
            cu_seq_lens_q=boundaries,
            output_hidden_states=records,
        )
    torch.testing.assert_close(found.last_hidden_state[0], expected, atol=2e-5, rtol=1e-5)


def test_boundaries_need_no_positions():
    """Positions restart at each boundary by default."""
    sequences = random_sequences()
    boundaries = torch.tensor([0, *(len(sequence) for sequence in sequences)]).cumsum(0).int()
    with torch.no_grad():
        found = tiny_model("sdpa")(torch.cat(sequences)[None], cu_seq_lens_q=boundaries).last_hidden_state[0]
        torch.testing.assert_close(found, encode_alone(tiny_model("eager"), sequences), atol=2e-5, rtol=1e-5)


def test_several_packed_rows_do_not_see_each_other():
    """Each row of a batch may hold packed sequences of its own."""
    sequences = random_sequences((4, 6, 7, 3))
    ids = torch.stack([torch.cat(sequences[:2]), torch.cat(sequences[2:])])
    position_ids = torch.stack(
        [torch.cat([torch.arange(4), torch.arange(6)]), torch.cat([torch.arange(7), torch.arange(3)])]
    )
    with torch.no_grad():
        found = tiny_model("sdpa")(ids, position_ids=position_ids).last_hidden_state
        torch.testing.assert_close(
            found.flatten(0, 1), encode_alone(tiny_model("eager"), sequences), atol=2e-5, rtol=1e-5
        )


@pytest.mark.parametrize("attention", KERNELS_WITH_GRADIENTS)
def test_gradients_of_a_padded_batch_are_the_sum_of_those_alone(attention):
    """The backward pass knows no padding either."""
    sequences = random_sequences()
    alone, batched = tiny_model("eager"), tiny_model(attention)
    weights = torch.randn(sum(LENGTHS), 32, generator=torch.Generator().manual_seed(1))
    (encode_alone(alone, sequences) * weights).sum().backward()
    (attended(batched, pad(sequences)) * weights).sum().backward()
    for (name, expected), found in zip(alone.named_parameters(), batched.parameters(), strict=True):
        torch.testing.assert_close(
            found.grad, expected.grad, atol=2e-4, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("attention", ["auto", "sdpa"])
def test_bfloat16_stays_within_twice_the_error_of_eager_bfloat16(attention):
    """Against float32 eager, forward and backward, a fast kernel may err twice as much as eager in its own dtype."""
    batch = pad(random_sequences((60, 33, 48)))
    results = {}
    for name, dtype in (("eager", torch.float32), ("eager", torch.bfloat16), (attention, torch.bfloat16)):
        model = tiny_model(name, hidden_size=64, num_attention_heads=4).to(dtype)
        output = attended(model, batch)
        output.float().square().sum().backward()
        results[name, dtype] = output, model.layers[0].self_attn.q_proj.weight.grad
    exact = results["eager", torch.float32]
    for part in range(2):
        error_of = {key: (result[part].float() - exact[part]).abs().mean() for key, result in results.items()}
        assert error_of[attention, torch.bfloat16] <= 2 * error_of["eager", torch.bfloat16]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32])
def test_mask_means_the_same_in_every_dtype(dtype):
    """Bool, integer and float masks are equal."""
    batch = pad(random_sequences())
    model = tiny_model("sdpa")
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
        found = model(batch["input_ids"], batch["attention_mask"].to(dtype)).last_hidden_state
    assert torch.equal(found, expected)


@pytest.mark.parametrize("records", [False, True])
def test_rows_without_a_token_are_zero_and_change_nothing(records):
    """Empty rows come back as zeros, with finite gradients, on the unpadded and on the padded path."""
    sequences = random_sequences((5, 8))
    batch = pad(sequences)
    with_empty = {name: torch.cat([rows[:1], torch.zeros_like(rows[:1]), rows[1:]]) for name, rows in batch.items()}
    model = tiny_model("sdpa")
    found = model(**with_empty, output_hidden_states=records).last_hidden_state
    assert torch.equal(found[1], torch.zeros_like(found[1]))
    torch.testing.assert_close(found[[0, 2]], model(**batch).last_hidden_state, atol=2e-5, rtol=1e-5)
    found.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_batch_without_a_single_token_is_all_zeros():
    """Nothing to attend to is no error."""
    hidden_states = tiny_model("sdpa")(torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 4)).last_hidden_state
    assert torch.equal(hidden_states, torch.zeros(2, 4, 32))


@pytest.mark.parametrize("attention", ["auto", "sdpa", "eager"])
def test_recorded_hidden_states_are_padded_and_agree_with_the_unpadded_path(attention):
    """Recording runs the padded path; what it returns at tokens is what the unpadded path returns."""
    batch = pad(random_sequences(), side="left")
    model = tiny_model(attention)
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
        recorded = model(**batch, output_hidden_states=True)
    assert [tuple(states.shape) for states in recorded.hidden_states] == [(5, 23, 32)] * 3
    torch.testing.assert_close(recorded.last_hidden_state, expected, atol=2e-5, rtol=1e-5)
    assert torch.equal(recorded.hidden_states[-1], recorded.last_hidden_state)


def test_masked_lm_loss_does_not_depend_on_padding():
    """The loss of a padded batch is the token-weighted mean of the losses alone."""
    sequences = random_sequences()
    batch = pad(sequences)
    model = tiny_model("sdpa", DNAFMForMaskedLM)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with torch.no_grad():
        losses = torch.stack([model(s[None], labels=s[None]).loss * len(s) for s in sequences])
        found = model(**batch, labels=labels).loss
    torch.testing.assert_close(found, losses.sum() / sum(LENGTHS))


@settings(max_examples=40, deadline=None)
@given(
    mask=st.integers(1, 4).flatmap(
        lambda rows: st.integers(1, 12).flatmap(
            lambda columns: st.lists(
                st.lists(st.booleans(), min_size=columns, max_size=columns), min_size=rows, max_size=rows
            )
        )
    )
)
def test_any_mask_gives_on_the_unpadded_path_what_it_gives_on_the_padded_one(mask):
    """Holes, empty rows, both sides: dropping masked tokens is the same as masking them."""
    mask = torch.tensor(mask)
    ids = torch.randint(16, mask.shape, generator=torch.Generator().manual_seed(0))
    model = tiny_model("sdpa", num_hidden_layers=1)
    with torch.no_grad():
        unpadded = model(ids, mask).last_hidden_state
        padded = model(ids, mask, output_hidden_states=True).last_hidden_state
    torch.testing.assert_close(unpadded, padded, atol=2e-5, rtol=1e-5)


@pytest.fixture
def flash_attention_2(monkeypatch, varlen_by_loop):
    """Let `auto` choose FlashAttention-2 on a CPU, with a loop in the kernel's place."""
    choice = KernelChoice("flash_attention_2", "torch")

    def chosen_kernels(attention, rope, request):
        taken = choice if attention in ("auto", choice.name) else KernelChoice(attention, "torch")
        return KernelReport(taken, KernelChoice("eager", "torch"), "cpu", torch.float32)

    monkeypatch.setattr(modeling_dnafm, "chosen_kernels", chosen_kernels)
    monkeypatch.setattr(kernels_dnafm, "flash_attention_2_function", lambda provider: varlen_by_loop)


@pytest.mark.parametrize("records", [False, True])
def test_where_auto_means_flash_attention_every_path_is_right(flash_attention_2, records):
    """Padded, packed, rectangular and under a 4D mask, recorded or not."""
    sequences = random_sequences()
    model, batch = tiny_model("auto"), pad(sequences, side="left")
    position_ids = torch.cat([torch.arange(len(sequence)) for sequence in sequences])[None]
    prepared = batch["attention_mask"].bool()[:, None, None].expand(-1, 1, 23, -1)
    with torch.no_grad():
        expected = encode_alone(model, sequences)
        is_token = batch["attention_mask"].bool()
        padded = model(**batch, output_hidden_states=records).last_hidden_state[is_token]
        masked = model(batch["input_ids"], prepared, output_hidden_states=records).last_hidden_state[is_token]
        packed = model(torch.cat(sequences)[None], position_ids=position_ids, output_hidden_states=records)
    for found in (padded, masked, packed.last_hidden_state[0]):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_flash_attention_2_by_name_keeps_packed_sequences_apart_when_recording(flash_attention_2):
    """Its mask cannot tell them apart: the boundaries must reach the kernel."""
    sequences = random_sequences((4, 6, 7, 3))
    ids = torch.stack([torch.cat(sequences[:2]), torch.cat(sequences[2:])])
    rows = ([torch.arange(4), torch.arange(6)], [torch.arange(7), torch.arange(3)])
    model = tiny_model("sdpa")
    model.config._attn_implementation_internal = model.config._attention_requested = "flash_attention_2"
    with torch.no_grad():
        found = model(ids, position_ids=torch.stack([torch.cat(row) for row in rows]), output_hidden_states=True)
        expected = encode_alone(tiny_model("eager"), sequences)
        with pytest.raises(ValueError, match="takes no attention_mask of shape"):
            model(ids, torch.ones(2, 1, 10, 10, dtype=torch.bool))
    torch.testing.assert_close(found.last_hidden_state.flatten(0, 1), expected, atol=2e-5, rtol=1e-5)
