"""Two CPU ranks of the commands do what one does."""

import json
from pathlib import Path

import pytest
import yaml
from forked_processes import run_on_two_ranks
from safetensors.torch import load_file
from torch.testing import assert_close

pytest.importorskip("jsonargparse")


@pytest.fixture(scope="module")
def options(tiny_options):
    """Without the size of a batch and the output folder."""
    short = ["--trainer.num_train_epochs", "3", "--trainer.logging_steps", "1"]
    return [*tiny_options, *short, "--data.path", "table.tsv"]


@pytest.fixture(scope="module")
def two(shared_workplace, options):
    """A model fitted on two ranks, eight rows on each, and what was printed."""
    output = run_on_two_ranks(
        "fit", *options, "--trainer.per_device_train_batch_size", 8, "--trainer.output_dir", "runs/two"
    )
    return shared_workplace / "runs" / "two", output


def losses(folder) -> list[float]:
    history = json.loads((folder / "metrics.json").read_text())["log_history"]
    return [entry[name] for entry in history for name in ("loss", "eval_loss") if name in entry]


@pytest.mark.slow
def test_fit_follows_the_curve_of_one_rank(two, shared_workplace, dnafm, options):
    """With the same global batch; and the first rank alone prints."""
    folder, output = two
    words = ["--trainer.per_device_train_batch_size", 16, "--trainer.output_dir", "runs/one"]
    code, alone, _ = dnafm("fit", *options, *words)
    assert code == 0
    assert losses(folder) == pytest.approx(losses(shared_workplace / "runs" / "one"), abs=1e-4)
    shape = [line.split()[:2] for line in alone.splitlines()]
    assert [line.split()[:2] for line in output.splitlines()][: len(shape) - 3] == shape[:-3]


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["tsv", "parquet"])
def test_predictions_are_those_of_one_rank(two, shared_workplace, dnafm, extension):
    """Byte for byte, in a file of as many chunks as ranks and more, with no part left."""
    folder, _ = two
    rows = [line.split("\t")[1] for line in (shared_workplace / "table.tsv").read_text().splitlines()[1:]]
    many = "".join(f"{rows[i % 60][: 10 + i % 50]}\n" for i in range(9_000))
    (shared_workplace / "many.csv").write_text(f"sequence\n{many}")
    words = ["predict", "--config", folder / "config.yaml", "--data.path", "many.csv", "--output"]
    assert dnafm(*words, f"one.{extension}")[:2] == (0, f"9,000 rows written to one.{extension}.\n")
    assert "9,000 rows written" in run_on_two_ranks(*words, f"two.{extension}")
    assert (shared_workplace / f"two.{extension}").read_bytes() == (shared_workplace / f"one.{extension}").read_bytes()
    assert not list(shared_workplace.glob("two.*.part*"))


@pytest.mark.slow
def test_metrics_are_those_of_one_rank(two, dnafm, read_metrics):
    """Of the test split, to rounding of the loss, with the same intervals."""
    folder, _ = two
    words = ["test", "--config", folder / "config.yaml", "--resamples", 50, "--plots", "false"]
    run_on_two_ranks(*words)
    found = read_metrics(folder / "test" / "metrics.json")
    assert dnafm(*words)[0] == 0
    expected = read_metrics(folder / "test" / "metrics.json")
    assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)
    assert {name: pytest.approx(limits, rel=1e-6) for name, limits in found["intervals"].items()} == expected[
        "intervals"
    ]


SHARDED_ON_CPUS = Path(__file__).parents[1] / "pretraining" / "sharded_on_cpus.py"
FSDP2 = {
    "fsdp": True,
    "fsdp_config": {
        "fsdp_version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": ["DNAFMLayer"],
        "state_dict_type": "SHARDED_STATE_DICT",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("SequenceClassification", ["--model.lora.r", 4, "--model.lora.dropout", 0]),
        ("MaskedLM", ["--data.path", "sequences.csv"]),
    ],
    ids=["lora", "tied-weights"],
)
def test_weights_in_shards_are_saved_whole(workplace, dnafm, options, task, words):
    """With FSDP2, where the best weights are those of the last step: the files have the weights of one rank."""
    rows = [line.split("\t")[1] for line in Path("table.tsv").read_text().splitlines()[1:]]
    Path("sequences.csv").write_text("\n".join(["sequence", *rows]))
    training = ["--trainer.learning_rate", 1e-4, "--trainer.metric_for_best_model", "loss"]
    own = ["--model", task, "--data", task, *options, *training, *words]
    batch = "--trainer.per_device_train_batch_size"
    assert dnafm("fit", *own, batch, 16, "--trainer.output_dir", "one")[0] == 0
    Path("sharded.yaml").write_text(yaml.safe_dump({"trainer": FSDP2}))
    sharded = ["--config", "sharded.yaml", batch, 8, "--trainer.output_dir", "two"]
    output = run_on_two_ranks("fit", *own, *sharded, program=[SHARDED_ON_CPUS])
    last = max(int(path.name.partition("-")[2]) for path in Path("two").glob("checkpoint-*"))
    assert f"kept the weights of step {last}." in output
    assert (Path("two") / f"checkpoint-{last}" / "pytorch_model_fsdp_0").is_dir()
    saved = sorted(
        path.relative_to("one") for path in Path("one").glob("**/*.safetensors") if "checkpoint" not in str(path)
    )
    assert len(saved) == (2 if task == "SequenceClassification" else 1)
    for file in saved:
        whole = load_file(Path("one") / file)
        assert_close(load_file(Path("two") / file), whole, atol=2e-5, rtol=1e-3)
