import pickle

import numpy as np
import pytest
import torch

from dnafm.data import MaskedDiffusionCollator, MaskedLanguageModelCollator
from dnafm.data.collators import _stratified
from dnafm.tokenization_dnafm import VOCABULARY

PAD, MASK, CLS, EOS = (VOCABULARY.index(token) for token in ("[PAD]", "[MASK]", "[CLS]", "[EOS]"))
BASES = [VOCABULARY.index(base) for base in "ACGT"]
COLLATORS = (MaskedLanguageModelCollator, MaskedDiffusionCollator)

both = pytest.mark.parametrize("collator_class", COLLATORS)


def sample(bases, index=0, **columns):
    ids = [CLS, *(VOCABULARY.index(base) for base in bases), EOS]
    return {"input_ids": np.array(ids), "sample_index": index, "epoch": 0, **columns}


def random_samples(n, length, seed=0):
    letters = np.random.default_rng(seed).choice(list("ACGTN"), (n, length))
    return [sample(row, index) for index, row in enumerate(letters)]


def within_binomial(count, n, p):
    """Whether a count lies within five standard deviations of n p: wrong once in a million."""
    return abs(count - n * p) < 5 * (n * p * (1 - p)) ** 0.5


def restored(batch):
    """Return the ids with the labels put back."""
    return torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])


def assert_equal(batch, other):
    assert batch.keys() == other.keys()
    assert all(torch.equal(batch[name], other[name]) for name in batch)


@both
def test_batch_is_padded_on_the_right(collator_class):
    """By hand: four and two bases with [CLS] and [EOS], to the longest and to a multiple of five."""
    samples = [sample("ACGT"), sample("GG", 1)]
    batch = collator_class()(samples)
    assert batch["attention_mask"].tolist() == [[1] * 6, [1] * 4 + [0] * 2]
    assert restored(batch).tolist() == [[2, 5, 7, 6, 8, EOS], [2, 6, 6, EOS, PAD, PAD]]
    assert {batch[name].dtype for name in ("input_ids", "attention_mask", "labels")} == {torch.int64}
    assert collator_class(pad_to_multiple_of=5)(samples)["input_ids"].shape == (2, 10)


@both
def test_only_known_bases_are_masked(collator_class):
    """Special tokens, padding and N are never changed nor labelled, and labels are the bases that were there."""
    samples = [*random_samples(30, 200), sample("N" * 50, 30)]
    batch = collator_class()(samples)
    is_labelled = batch["labels"] != -100
    originals = restored(batch)
    assert np.isin(batch["labels"][is_labelled], BASES).all()
    assert [row[: len(s["input_ids"])].tolist() for row, s in zip(originals, samples, strict=True)] == [
        s["input_ids"].tolist() for s in samples
    ]
    assert not is_labelled[30].any()


@both
def test_ids_may_be_of_any_kind(collator_class):
    """Lists, bytes in an array and tensors are masked alike."""
    samples = random_samples(3, 50)
    expected = collator_class()(samples)
    for convert in (list, torch.from_numpy, lambda ids: ids.astype(np.uint8)):
        converted = [each | {"input_ids": convert(each["input_ids"])} for each in samples]
        assert_equal(collator_class()(converted), expected)


def test_masking_has_the_shares_of_bert():
    """Of 160,000 known bases 15 % are chosen: 80 % [MASK], 10 % random with A, C, G, T alike, 10 % unchanged."""
    samples = random_samples(50, 4000)
    batch = MaskedLanguageModelCollator(seed=3)(samples)
    n_bases = int(np.isin(restored(batch), BASES).sum())
    is_chosen = batch["labels"] != -100
    found, labels = batch["input_ids"][is_chosen], batch["labels"][is_chosen]
    assert within_binomial(len(labels), n_bases, 0.15)
    assert within_binomial(int((found == MASK).sum()), len(labels), 0.8)
    # A random base is the one that was there in one case of four.
    assert within_binomial(int((found == labels).sum()), len(labels), 0.1 + 0.1 / 4)
    for base in BASES:
        n_other = int((labels != base).sum())
        assert within_binomial(int(((found == base) & (labels != base)).sum()), n_other, 0.1 / 4)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [({"mask_share": 1.0, "random_share": 0.0}, [MASK]), ({"mask_share": 0.0, "random_share": 0.0}, [5])],
)
def test_extreme_shares_are_exact(shares, expected):
    """With probability one all bases become [MASK], or all stay, and all are labelled."""
    batch = MaskedLanguageModelCollator(mlm_probability=1.0, **shares)([sample("A" * 100)])
    assert batch["input_ids"][0].tolist() == [CLS, *expected * 100, EOS]
    assert batch["labels"][0].tolist() == [-100, *[5] * 100, -100]
    assert (MaskedLanguageModelCollator(mlm_probability=0.0)([sample("ACGT")])["labels"] == -100).all()


def test_mask_of_a_sample_depends_on_seed_epoch_and_index_only():
    """Alone, in another order, or beside others, a sample is masked alike; another seed, epoch or index differs."""
    samples = random_samples(6, 300)
    collate = MaskedLanguageModelCollator(seed=1, reverse_complement_probability=0.5)
    batch = collate(samples)
    for order in ([3], [5, 4, 3, 2, 1, 0], [2, 4]):
        assert_equal(collate([samples[i] for i in order]), {name: column[order] for name, column in batch.items()})
    for other in ({"epoch": 1}, {"sample_index": 99}):
        assert not torch.equal(collate([samples[0] | other])["labels"], batch["labels"][:1])
    assert not torch.equal(MaskedLanguageModelCollator(seed=2)(samples)["labels"], batch["labels"])


def test_masked_diffusion_does_not_depend_on_the_order_of_a_batch():
    """Reversing the batch reverses the result; a pickled collator gives the same."""
    samples = random_samples(6, 300)
    collate = MaskedDiffusionCollator(seed=1, reverse_complement_probability=0.5)
    batch, reversed_batch = collate(samples), pickle.loads(pickle.dumps(collate))(samples[::-1])
    assert_equal(reversed_batch, {name: column.flip(0) for name, column in batch.items()})


def test_diffusion_times_are_stratified():
    """In a batch of eight, each eighth of (0, 1] holds one t, and the weight is 1 / t."""
    for first in range(0, 800, 8):
        batch = MaskedDiffusionCollator()([sample("A", first + i) for i in range(8)])
        t = 1 / batch["sequence_weight"].double()
        assert sorted(torch.ceil(t * 8 - 1e-6).int().tolist()) == list(range(1, 9))
        assert batch["sequence_weight"].dtype == torch.float32


def test_diffusion_time_of_a_place_in_the_batch_is_uniform():
    """The first of eight gets each eighth of (0, 1] in one of eight batches."""
    weights = [MaskedDiffusionCollator()([sample("A", 8 * k + i) for i in range(8)]) for k in range(2000)]
    eighth = [int(np.ceil(8 / float(batch["sequence_weight"][0]) - 1e-6)) for batch in weights]
    counts = np.bincount(eighth, minlength=9)[1:]
    assert all(within_binomial(count, 2000, 1 / 8) for count in counts)


def test_diffusion_masks_a_fraction_t():
    """Each sequence of 20,000 bases has t of them masked, all as [MASK], within binomial bounds."""
    batch = MaskedDiffusionCollator(seed=5)([sample("ACGT" * 5000, index) for index in range(8)])
    is_masked = batch["labels"] != -100
    assert torch.equal(is_masked, batch["input_ids"] == MASK)
    for count, weight in zip(is_masked.sum(1).tolist(), batch["sequence_weight"].tolist(), strict=True):
        assert within_binomial(count, 20000, 1 / weight)


def test_diffusion_time_reaches_one_and_never_zero():
    """The smallest word of the last stratum gives t = 1; the largest of the first still more than 0."""
    smallest, largest = np.zeros(4, np.uint64), np.full(4, 2**64 - 1, np.uint64)
    ranks = np.arange(4, dtype=np.uint64)
    assert _stratified(ranks, smallest).tolist() == [0.25, 0.5, 0.75, 1]
    assert 0 < _stratified(ranks, largest)[0] < 1e-9


@both
def test_reverse_complement_keeps_the_special_tokens(collator_class):
    """By hand: AACGN becomes NCGTT, its weights turn round with it, and UG becomes CA."""
    collate = collator_class(reverse_complement_probability=1.0)
    weights = np.array([0, 1, 2, 3, 4, 5, 0], np.float32)
    batch = collate([sample("AACGN", token_weight=weights), sample("UG", 1, token_weight=np.ones(4))])
    assert restored(batch)[0].tolist() == sample("NCGTT")["input_ids"].tolist()
    assert restored(batch)[1].tolist() == [*sample("CA")["input_ids"].tolist(), PAD, PAD, PAD]
    assert batch["token_weight"].tolist() == [[0, 5, 4, 3, 2, 1, 0], [1, 1, 1, 1, 0, 0, 0]]
    assert batch["token_weight"].dtype == torch.float32


def test_reverse_complement_has_its_probability():
    """Of 2,000 sequences AC a quarter becomes GT."""
    collate = MaskedLanguageModelCollator(mlm_probability=0, reverse_complement_probability=0.25)
    batch = collate([sample("AC", index) for index in range(2000)])
    assert within_binomial(int((batch["input_ids"][:, 1] == VOCABULARY.index("G")).sum()), 2000, 0.25)


@both
def test_generator_is_an_alternative_to_the_seed(collator_class):
    """The same generator gives the same batches; saving its state resumes in the middle."""
    samples = [{"input_ids": [CLS, *BASES * 20, EOS]}] * 3
    collate = collator_class(generator=torch.Generator().manual_seed(7))
    first, state = collate(samples), collate.generator.get_state()
    second = collate(samples)
    assert not torch.equal(first["labels"], second["labels"])
    assert_equal(collator_class(generator=torch.Generator().manual_seed(7))(samples), first)
    collate.generator.set_state(state)
    assert_equal(collate(samples), second)


@both
def test_sample_without_index_is_refused(collator_class):
    """Trainer would remove the column; the error says how to keep it."""
    with pytest.raises(ValueError, match="remove_unused_columns=False"):
        collator_class()([{"input_ids": [CLS, 5, EOS]}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mlm_probability": 15}, "mlm_probability is 15; it must lie in"),
        ({"mask_share": 0.95}, r"mask_share \+ random_share is 1.05"),
        ({"reverse_complement_probability": -1}, "reverse_complement_probability is -1"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of is 0"),
        ({"seed": -1}, "The seed is -1"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    """The error names the setting and the rule."""
    with pytest.raises(ValueError, match=message):
        MaskedLanguageModelCollator(**options)
