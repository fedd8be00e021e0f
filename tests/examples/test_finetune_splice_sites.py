import pytest


@pytest.mark.slow
def test_example_runs_and_reports_the_test_split(run_example, tmp_path):
    """A few steps from start to end; the saved folder has model and tokenizer."""
    pytest.importorskip("datasets")
    printed = run_example("01_finetune_splice_sites", "--max_steps", "3", "--output_dir", tmp_path / "out")
    assert "'test_mcc'" in printed
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= written
