"""A DNA FM checkpoint as the Transformer module of sentence-transformers."""

import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.modeling_dnafm import pool

sentence_transformers = pytest.importorskip("sentence_transformers")

SEQUENCES = ["ACGTACGTTT", "gattaca", "A", "ACGTNNACGT" * 4]


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """A masked language model on disk, as dnafm saves it, and that model."""
    model = tiny_model(DNAFMForMaskedLM)
    model.save_pretrained(tmp_path / "model")
    DNAFMTokenizer(model_max_length=64).save_pretrained(tmp_path / "model")
    return tmp_path / "model", model


def pooled(model, how):
    batch = DNAFMTokenizer()(SEQUENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        return pool(model.base_model(**batch).last_hidden_state, batch["attention_mask"], how=how)


@pytest.mark.parametrize("how", ["mean", "max", "cls"])
def test_encode_gives_the_pooled_embedding(checkpoint, how):
    """In batches of two, sorted and padded by the library: what `pool` gives for all of them at once."""
    folder, model = checkpoint
    encoder = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    assert encoder.max_seq_length == 64
    encoder[1].pooling_mode = how
    found = encoder.encode(SEQUENCES, batch_size=2, convert_to_tensor=True, show_progress_bar=False)
    torch.testing.assert_close(found, pooled(model, how), rtol=1e-5, atol=1e-5)


def test_folder_of_a_checkpoint_is_enough(checkpoint, tmp_path):
    """The library adds mean pooling of its own accord, and what it saves loads again."""
    folder, model = checkpoint
    encoder = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    encoder.save(str(tmp_path / "encoder"))
    for each in (encoder, sentence_transformers.SentenceTransformer(str(tmp_path / "encoder"), device="cpu")):
        found = each.encode(SEQUENCES, convert_to_tensor=True, show_progress_bar=False)
        torch.testing.assert_close(found, pooled(model, "mean"), rtol=1e-5, atol=1e-5)
