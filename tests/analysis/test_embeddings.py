"""Embeddings are those of a plain loop over sequences with AutoModel, whatever is read together or in windows."""

import subprocess
import sys
from itertools import count, islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

import dnafm
from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.analysis import embedder
from dnafm.analysis.embedding_tiles import Tile, tiles
from dnafm.analysis.embeddings import Embedder, embed, iter_embeddings
from dnafm.checkpoints import backbone_location
from dnafm.genomics import reverse_complement
from dnafm.tasks import Embed
from dnafm.tasks.building import add_lora
from dnafm.tasks.options import LoraOptions

SEQUENCES = ["ACGTTGCAAN", "GATTACAGATTACA", "c", "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTACG", "ggcaryac", "GATTUCAGATTACA"]
POOLINGS = ("mean", "cls", "max", "none")
WINDOW_BP = 16


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(backbone_location("dnafm_tiny"))


@pytest.fixture(scope="module")
def pretrained():
    return AutoModel.from_pretrained(backbone_location("dnafm_tiny")).eval()


@pytest.fixture
def fresh(tiny_model, tokenizer):
    """Factory of embedders around one small model of random weights, which reads 62 bases."""
    model = tiny_model()
    return lambda **options: Embedder(model, tokenizer, **options)


def plain(model, tokenizer, sequence, *, pooling="mean", layers=(-1,), strand="forward", special_tokens=False):
    """The vectors of one sequence, by the shortest way."""
    of_strands = []
    for is_reverse in {"forward": (False,), "reverse": (True,), "both": (False, True)}[strand]:
        text = reverse_complement(sequence) if is_reverse else sequence
        with torch.no_grad():
            outputs = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        states = torch.stack([outputs.hidden_states[layer][0] for layer in layers]).float()
        if pooling == "cls":
            of_strands.append(states[:, 0])
            continue
        bases = states[:, 1:-1].flip(1) if is_reverse else states[:, 1:-1]
        tokens = torch.cat([states[:, :1], bases, states[:, -1:]], dim=1) if special_tokens else bases
        pool = {"mean": lambda rows: rows.mean(1), "max": lambda rows: rows.amax(1), "none": lambda rows: rows}
        of_strands.append(pool[pooling](tokens))
    return torch.stack(of_strands).mean(0).numpy()


def random_dna(n_bases, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n_bases))


def assert_close(found, expected, atol=2e-5):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=atol)


@pytest.mark.parametrize("special_tokens", [False, True])
@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_are_those_of_a_plain_loop(pretrained, tokenizer, pooling, strand, special_tokens):
    """For every pooling and strand, with and without special tokens, in several layers at once."""
    options = {"pooling": pooling, "strand": strand, "special_tokens": special_tokens, "layers": (3, 0, -1)}
    found = Embedder(pretrained, tokenizer, max_tokens=40, **options).embed(SEQUENCES)
    expected = [plain(pretrained, tokenizer, sequence, **options) for sequence in SEQUENCES]
    assert expected[0].shape[0] == 3
    assert_close(found, expected)


def test_palindrome_is_the_same_from_both_strands(fresh):
    """One that is its own reverse complement has one vector, and those of its bases are mirrored."""
    palindrome = "ACGGATCCGT"
    for pooling in ("mean", "max", "cls"):
        forward, reverse = (next(fresh(pooling=pooling, strand=s).embed([palindrome])) for s in ("forward", "reverse"))
        np.testing.assert_allclose(forward, reverse, atol=1e-5)
    (rows,) = fresh(pooling="none", strand="both").embed([palindrome])
    np.testing.assert_allclose(rows, rows[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_reverse_complement_has_the_same_vectors_from_both_strands(fresh, pooling):
    """Those of bases in reverse order; also in windows that do not go into the sequence evenly."""
    both = fresh(pooling=pooling, strand="both", window_bp=20, overlap_bp=5)
    for sequence in (random_dna(15), random_dna(97)):
        vectors, of_other = both.embed([sequence, reverse_complement(sequence)])
        np.testing.assert_allclose(of_other, vectors[:, ::-1] if pooling == "none" else vectors, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_neighbours_order_and_buffers_do_not_matter(fresh, pooling, monkeypatch):
    """A sequence alone in its batch is what it is among others, in any order, read ahead or not."""
    sequences = [random_dna(n, seed=n) for n in (5, 200, 62, 17, 1, 63, 17, 90)]
    options = {"pooling": pooling, "layers": (1, 2)}
    expected = [next(fresh(**options).embed([sequence])) for sequence in sequences]
    assert_close(fresh(**options).embed(sequences), expected)
    assert_close(fresh(**options).embed(sequences[::-1]), expected[::-1])
    assert_close(fresh(**options, max_tokens=1).embed(sequences), expected)
    monkeypatch.setattr(embedder, "_LOOK_AHEAD", 3)
    assert_close(fresh(**options).embed(sequences), expected)
    monkeypatch.setattr(embedder, "_LOOK_AHEAD_BYTES", 1)
    assert_close(fresh(**options).embed(sequences), expected)


def test_endless_stream_yields(fresh):
    """No more is read ahead than a buffer of windows."""
    n_read = 0

    def stream():
        nonlocal n_read
        for n_read in count(1):
            yield random_dna(1 + n_read % 7, seed=n_read)

    first = list(islice(fresh(layers=(0,)).embed(stream()), 3))
    assert len(first) == 3
    assert n_read == 1024


def deepest(n_bases, windows):
    """The number of the window in which each base lies deepest, the first of equally deep ones."""
    depths = [
        [min(base - start, end - 1 - base) if start <= base < end else -1 for base in range(n_bases)]
        for start, end in windows
    ]
    return np.argmax(depths, axis=0).tolist()


@given(st.integers(1, 200), st.integers(1, 40), st.data())
def test_each_base_is_taken_once_from_the_window_where_it_lies_deepest(n_bases, window_bp, data):
    """Windows lie in the sequence, are as long as they may be, share what they should, and none is one too many."""
    overlap_bp = data.draw(st.integers(0, window_bp - 1))
    found = list(tiles(n_bases, window_bp=window_bp, overlap_bp=overlap_bp))
    windows = [(tile.start_bp, tile.end_bp) for tile in found]
    taken = [number for number, tile in enumerate(found) for _ in range(tile.kept_start_bp, tile.kept_end_bp)]
    assert taken == deepest(n_bases, windows)
    assert [tile.kept_start_bp for tile in found] == [0, *(tile.kept_end_bp for tile in found[:-1])]
    assert (windows[0][0], windows[-1][1]) == (0, n_bases)
    assert {end - start for start, end in windows} == {min(window_bp, n_bases)}
    shared = [end - start for (_, end), (start, _) in pairwise(windows)]
    assert shared[:-1] == [overlap_bp] * len(shared[:-1])
    assert all(overlap_bp <= n < window_bp for n in shared[-1:])


def test_tiles_by_hand():
    """Ten bases in windows of six that share two: 0-6 and 4-10; the bases 4 and 5 are one and none from an end."""
    assert list(tiles(10, window_bp=6, overlap_bp=2)) == [Tile(0, 6, 0, 5), Tile(4, 10, 5, 10)]
    assert list(tiles(6, window_bp=6, overlap_bp=2)) == [Tile(0, 6, 0, 6)]
    assert list(tiles(7, window_bp=6, overlap_bp=0)) == [Tile(0, 6, 0, 4), Tile(1, 7, 4, 7)]


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
@pytest.mark.parametrize(("n_bases", "overlap_bp"), [(17, None), (83, None), (83, 0), (40, 13), (16, 5), (32, 0)])
def test_long_sequence_is_made_of_its_windows(fresh, tokenizer, n_bases, overlap_bp, strand):
    """The vectors of bases are those of plain passes over windows; pooled ones are pooled over these bases.

    The default overlap is a quarter of a window.
    """
    sequence = random_dna(n_bases)
    options = {"layers": (1, -1), "strand": strand, "window_bp": WINDOW_BP, "overlap_bp": overlap_bp}
    of_bases = {s: plain_stitched(fresh().model, tokenizer, sequence, overlap_bp, s) for s in ("forward", "reverse")}
    read = ["forward", "reverse"] if strand == "both" else [strand]
    expected = {
        "none": np.mean([of_bases[s] for s in read], axis=0),
        "mean": np.mean([of_bases[s].mean(axis=1) for s in read], axis=0),
        "max": np.mean([of_bases[s].max(axis=1) for s in read], axis=0),
    }
    for pooling, vectors in expected.items():
        (found,) = fresh(pooling=pooling, **options).embed([sequence])
        np.testing.assert_allclose(found, vectors, atol=1e-5)


def plain_stitched(model, tokenizer, sequence, overlap_bp, strand):
    """(layers 1 and -1, bases, hidden) of windows of 16 bases, counted from the start of the strand."""
    if strand == "reverse":
        return plain_stitched(model, tokenizer, reverse_complement(sequence), overlap_bp, "forward")[:, ::-1]
    step = WINDOW_BP - (WINDOW_BP // 4 if overlap_bp is None else overlap_bp)
    last = max(0, len(sequence) - WINDOW_BP)
    windows = [(start, start + WINDOW_BP) for start in sorted({*range(0, last, step), last})]
    read = [plain(model, tokenizer, sequence[a:b], pooling="none", layers=(1, -1)) for a, b in windows]
    numbers = enumerate(deepest(len(sequence), windows))
    return np.stack([read[number][:, base - windows[number][0]] for base, number in numbers], axis=1)


def test_cls_of_a_long_sequence_is_the_mean_of_its_windows(fresh, tokenizer):
    """20 bases in windows of eight that share two begin at 0, 6 and 12."""
    sequence = random_dna(20)
    windows = [sequence[:8], sequence[6:14], sequence[12:]]
    expected = [plain(fresh().model, tokenizer, window, pooling="cls") for window in windows]
    (found,) = fresh(pooling="cls", window_bp=8, overlap_bp=2, special_tokens=True).embed([sequence])
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-5)


def test_layers_are_counted_from_either_end(fresh):
    """A model of two layers has the layers 0 to 2, and -3 to -1."""
    forward, backward = (list(fresh(layers=layers).embed(SEQUENCES)) for layers in ((0, 1, 2), (-3, -2, -1)))
    np.testing.assert_array_equal(forward, backward)
    assert fresh().width == 32


@pytest.mark.parametrize(("layers", "n_run"), [((0,), 0), ((1,), 1), ((0, 1), 1), ((2,), 2), ((-1, 0), 2)])
def test_layers_after_the_last_wanted_one_are_not_computed(fresh, layers, n_run):
    """Layer k needs the first k."""
    truncated, run = fresh(layers=layers), []
    for number, layer in enumerate(truncated.model.layers):
        layer.register_forward_hook(lambda *_, number=number: run.append(number))
    next(truncated.embed(["ACGT"]))
    assert run == list(range(n_run))


def test_model_is_left_as_it_was(fresh, pretrained):
    """Dropout is off while vectors are computed, also for a model in training, whose modules keep their modes."""
    own = fresh(layers=(1, 2))
    expected = next(own.embed(["ACGT"]))
    model = own.model
    model.train()
    model.layers[0].eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    before = {name: module.training for name, module in model.named_modules()}
    vectors = own.embed(["ACGT", "", "A"])
    with pytest.raises(ValueError, match="Sequence 1"):
        list(vectors)
    np.testing.assert_array_equal(next(own.embed(["ACGT"])), expected)
    assert {name: module.training for name, module in model.named_modules()} == before
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_a_config_records_does_not_matter(tiny_model, tokenizer):
    """A model that is set to return all hidden states gives the same."""
    model = tiny_model()
    expected = embed(model, SEQUENCES, tokenizer=tokenizer)
    model.config.output_hidden_states = True
    np.testing.assert_allclose(embed(model, SEQUENCES, tokenizer=tokenizer), expected, atol=1e-6)


@pytest.mark.parametrize("model_class", [DNAFMForMaskedLM, DNAFMForSequenceClassification])
def test_encoder_of_a_model_with_a_head_is_used(tiny_model, tokenizer, model_class):
    """The head does not matter."""
    model = tiny_model(model_class)
    np.testing.assert_array_equal(
        embed(model, SEQUENCES, tokenizer=tokenizer), embed(model.model, SEQUENCES, tokenizer=tokenizer)
    )


def test_task_brings_its_tokenizer(pretrained, tokenizer):
    """`Embed` and `embed` say the same, for bases and for sequences, and so do `embed` of name, model and task."""
    task = Embed.from_config({"model.backbone": "dnafm_tiny", "model.pooling": "mean", "model.layer": 4})
    predicted = np.stack(task.predict(SEQUENCES)["embedding"].to_pylist())
    for model in ("dnafm_tiny", backbone_location("dnafm_tiny"), pretrained, task):
        np.testing.assert_allclose(embed(model, SEQUENCES, layers=4), predicted, atol=2e-5)
    of_bases = Embed.from_config({"model.backbone": "dnafm_tiny"}).predict(SEQUENCES)["embedding"].to_pylist()
    assert_close(embed(pretrained, SEQUENCES, pooling="none"), of_bases)


def test_adapters_count(tiny_model, tokenizer):
    """A model with LoRA gives what it gives with the adapters merged into its weights."""
    pytest.importorskip("peft")
    adapted = add_lora(tiny_model(DNAFMForMaskedLM), LoraOptions(r=2)).eval()
    without = embed(adapted, SEQUENCES, tokenizer=tokenizer)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    found = embed(adapted, SEQUENCES, tokenizer=tokenizer)
    assert np.abs(found - without).max() > 0.01
    merged = adapted.merge_and_unload()
    np.testing.assert_allclose(found, embed(merged, SEQUENCES, tokenizer=tokenizer), atol=2e-5)


def test_shapes_of_the_functions(pretrained):
    """A layer by its number has no axis; several, or a list of one, have one; without pooling there is a list."""
    few = SEQUENCES[:2]
    assert dnafm.embed(pretrained, few).shape == (2, 192)
    assert dnafm.embed(pretrained, few, layers=[2]).shape == (2, 1, 192)
    assert dnafm.embed(pretrained, iter(few), layers=[2, 4]).shape == (2, 2, 192)
    assert dnafm.embed(pretrained, [], layers=[2, 4]).shape == (0, 2, 192)
    assert [rows.shape for rows in dnafm.embed(pretrained, few, pooling="none")] == [(10, 192), (14, 192)]
    tokens = dnafm.embed(pretrained, few, pooling="none", layers=(0, 1), special_tokens=True)
    assert [rows.shape for rows in tokens] == [(2, 12, 192), (2, 16, 192)]
    assert next(dnafm.iter_embeddings(pretrained, few)).shape == (192,)
    assert next(dnafm.iter_embeddings(pretrained, few, layers=[1], pooling="none")).shape == (1, 10, 192)


def test_suffix_is_the_tokenizers(tiny_model):
    """Checkpoints that end in [SEP], or in nothing, give the vectors of plain passes with such tokenizers."""
    model = tiny_model()
    for suffix in ("[SEP]", None):
        tokenizer = DNAFMTokenizer(suffix_token=suffix)
        (found,) = embed(model, ["GATTACA"], tokenizer=tokenizer, pooling="none", special_tokens=True)
        with torch.no_grad():
            expected = model(**tokenizer("GATTACA", return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        both = embed(model, ["GATC"], tokenizer=tokenizer, pooling="none", special_tokens=True, strand="both")[0]
        np.testing.assert_allclose(both[1:5], both[4:0:-1], atol=1e-5)


def test_bfloat16_weights_and_autocast(tiny_model, tokenizer):
    """Sums are float32: weights in bfloat16 give the mean of their states, autocast what it rounds to."""
    model = tiny_model()
    exact = embed(model, SEQUENCES, tokenizer=tokenizer)
    rounded = embed(model, SEQUENCES, tokenizer=tokenizer, bf16=True)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.1
    model.bfloat16()
    expected = [plain(model, tokenizer, sequence)[0] for sequence in SEQUENCES]
    assert_close(embed(model, SEQUENCES, tokenizer=tokenizer), expected, atol=0.05)
    by_name = [embed("dnafm_tiny", SEQUENCES, dtype=dtype) for dtype in ("bfloat16", torch.bfloat16, None)]
    np.testing.assert_array_equal(by_name[0], by_name[1])
    assert 0 < np.abs(by_name[0] - by_name[2]).max() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "sum"}, "pooling is 'sum'; it must be one of mean, cls, max, none"),
        ({"strand": "minus"}, "strand is 'minus'; it must be one of forward, reverse, both"),
        ({"layers": 3}, "Layer 3 is none of the model's: 0 is the input of the first, 2 "),
        ({"layers": [-4]}, "Layer -4 is none"),
        ({"layers": [2, -1]}, "have one twice"),
        ({"layers": []}, "layers is empty"),
        ({"window_bp": 0}, "window_bp is 0; the model reads 1 to 62 bases"),
        ({"window_bp": 63}, "window_bp is 63; the model reads 1 to 62 bases"),
        (
            {"window_bp": 8, "overlap_bp": 8},
            "overlap_bp is 8; it must be at least 0 and less than a window",
        ),
        ({"overlap_bp": -1}, "overlap_bp is -1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"dtype": "bfloat16"}, "dtype is bfloat16, and the model is loaded"),
        ({"tokenizer": None}, "pass tokenizer"),
    ],
)
def test_bad_options_are_errors_at_once(tiny_model, tokenizer, options, message):
    """Before a sequence is read."""
    with pytest.raises(ValueError, match=message):
        iter_embeddings(tiny_model(), iter(()), **{"tokenizer": tokenizer, **options})


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["ACGT", ""], "Sequence 1, counted from 0, is ''; it must have at least one base"),
        (["ACGT", None], "Sequence 1, counted from 0, is None"),
        (["ACGT", "MALWMRLLPL"], "Sequence 1, counted from 0: 'L' at offset 2 is no nucleotide"),
        (["AC[MASK]T"], r"Sequence 0, counted from 0: '\[' at offset 2"),
        ("ACGT", "sequences is one string"),
    ],
)
def test_what_is_no_dna_is_an_error(fresh, sequences, message):
    """The message names the row."""
    with pytest.raises(ValueError, match=message):
        list(fresh().embed(sequences))


@pytest.mark.parametrize("pooling", ["mean", "max", "none"])
def test_special_tokens_of_several_windows_are_an_error(fresh, pooling):
    """Each window has its own."""
    with pytest.raises(ValueError, match="Sequence 1, counted from 0, has 63 bases and is read in 2 windows of 62"):
        list(fresh(pooling=pooling, special_tokens=True).embed(["A" * 62, "A" * 63]))


def test_model_of_another_kind_is_an_error(tokenizer, tmp_path):
    """And so is a name that nothing has."""
    with pytest.raises(ValueError, match="a Linear, in which there is no encoder of DNA FM"):
        Embedder(torch.nn.Linear(2, 2), tokenizer)
    with pytest.raises(OSError, match="nowhere' is neither dnafm"):
        embed(f"{tmp_path}/nowhere", SEQUENCES)
    with pytest.raises(ValueError, match="dtype is 'float8'; it must be one of auto"):
        embed("dnafm_tiny", SEQUENCES, dtype="float8")


def test_functions_are_imported_when_they_are_asked_for():
    """`import dnafm` stays as quick as it is; `dir` lists the functions, and other names are unknown."""
    assert {"embed", "iter_embeddings", "DNAFMModel"} <= set(dir(dnafm))
    assert dnafm.embed is embed
    with pytest.raises(AttributeError, match="no attribute 'embeddings_of'"):
        dnafm.embeddings_of  # noqa: B018
    code = "import sys, dnafm; sys.exit(any(name.startswith('dnafm.analysis') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
