"""The examples of tasks run from start to end, a few steps each."""

from pathlib import Path

import pytest

pytest.importorskip("datasets")
pytest.importorskip("jsonargparse")
pytest.importorskip("peft")

EXAMPLES = Path(__file__).parents[2] / "examples"
# Of each example: options beside those of all, and what it prints whatever it has learned.
TRAINING = {
    "03_classify_sequences": ([], "{'train': 2161, 'validation': 240, 'test': 600}"),
    "04_predict_numbers": ([], "with the share of C and G alone: 0.3"),
    "05_annotate_bases": (
        [],
        "CCAAGAGGAGATCGGCGCGGTTGTCAGCTGTAAGTAAAGC\nannotated eeeeeeeeeeeeeeeeeeeeeeeeeeeeeiiiiiiiiiii",
    ),
    # 6 layers, two matrices of 192 x 192 each; the head is 192 x 96 and 96 x 3 with biases.
    "06_lora": ([], f"{6 * 2 * 16 * 2 * 192 + 193 * 96 + 97 * 3:,} of"),
    "07_cross_validate": (["--folds", "2"], "mean ± sd"),
}
pytestmark = pytest.mark.slow


def test_embedding_finds_composition_first(run_example):
    """The first component of the embeddings follows the share of C and G, and a close relative is the nearest one."""
    printed = run_example("02_embed_sequences", "--max_sequences", "150")
    assert "tokens: (2, 62, 192)\nsequences: (300, 192)" in printed
    assert float(printed.split("share of C and G is ")[1].split(".\n")[0]) > 0.8


@pytest.mark.parametrize("name", TRAINING)
def test_example_trains_measures_and_saves(run_example, name, tmp_path):
    """It ends well after two steps, prints its table, and leaves a checkpoint."""
    options, expected = TRAINING[name]
    printed = run_example(name, "--max_steps", "2", "--output_dir", str(tmp_path / "out"), *options)
    assert expected in printed
    assert "\nloss" in printed
    assert list(tmp_path.rglob("model.safetensors"))
    if name == "06_lora":
        assert "Merging changes logits by less than 1e-4: True." in printed


def test_every_example_is_tested():
    """Those that no task trains have tests of their own."""
    numbered = {path.stem for path in EXAMPLES.glob("[0-9]*.py")}
    elsewhere = {"01_finetune_splice_sites", "08_score_variants", "09_mutagenesis", "10_generate_sequences"}
    elsewhere |= {"11_mine_genomes", "12_annotate_genome", "13_lightning_module"}
    assert numbered - elsewhere == {"02_embed_sequences", *TRAINING}
