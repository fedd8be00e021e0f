"""What a model card says is what the run left, and its licence is that of the weights that it began from."""

import json
import re
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from dnafm import DNAFMForMaskedLM, DNAFMForTokenClassification
from dnafm.checkpoints.model_cards import GENERATED_MARK, LOADERS, has_own_card, model_card
from dnafm.checkpoints.published_files import files_to_publish, read_whole_checkpoint
from dnafm.checkpoints.released import MODEL_CLASSES
from dnafm.tasks import TASKS

REPO = "ada/promoters"


@pytest.fixture
def run(fitted, tmp_path):
    """A copy of the folder of a run, to be changed."""
    return shutil.copytree(fitted, tmp_path / "run")


def card_of(folder, **options):
    """Return the card of a folder, its metadata, and its text."""
    text = model_card(read_whole_checkpoint(folder), REPO, **options)
    return ModelCard(text).data.to_dict(), text


def change_settings(folder, section, **fields):
    """Change the settings that a run left."""
    path = folder / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings[section].update(fields)
    path.write_text(yaml.safe_dump(settings))


def begin_from(folder, backbone):
    """Change the weights that a run says it began from."""
    change_settings(folder, "model", backbone=backbone, from_scratch=False)


def change_training(folder, **fields):
    """Change what a run left about its training."""
    path = folder / "metrics.json"
    document = json.loads(path.read_text())
    document["training"].update(fields)
    path.write_text(json.dumps(document))


def test_metadata_name_library_task_and_base(run):
    """What the Hub sorts models by is there."""
    metadata, _ = card_of(run)
    assert metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == "text-classification"
    assert {"dnafm", "dna", "genomics"} <= set(metadata["tags"])
    assert re.fullmatch("[ACGT]+", metadata["widget"][0]["text"])
    assert "datasets" not in metadata


def test_metrics_are_those_of_the_run(run):
    """Table and metadata have the numbers of metrics.json: both splits in the table, the test split for the Hub."""
    measured = json.loads((run / "test" / "metrics.json").read_text())
    validation = json.loads((run / "metrics.json").read_text())["validation"]
    metadata, text = card_of(run)
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", text, re.MULTILINE))
    low, high = measured["intervals"]["mcc"]
    assert rows["mcc"] == f"{validation['mcc']:.3f} | {measured['metrics']['mcc']:.3f} [{low:.3f}, {high:.3f}]"
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == "promoters"
    defined = {metric: value for metric, value in measured["metrics"].items() if value is not None}
    assert {result.metric_type: result.metric_value for result in results} == defined
    assert {(result.dataset_name, result.dataset_split) for result in results} == {("table.tsv", "test")}


def test_training_and_data_are_those_of_the_run(run):
    """Hyper-parameters that were given and those that were chosen, sizes of the splits, and versions."""
    _, text = card_of(run)
    training = json.loads((run / "metrics.json").read_text())["training"]
    assert training["rows"] == {"test": 20, "train": 72, "validation": 8}
    assert "`table.tsv`; rows: 72 train, 8 validation, 20 test." in text
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", text, re.MULTILINE))
    assert rows["num_train_epochs"] == "1"
    assert rows["learning_rate"] == str(training["arguments"]["learning_rate"]) == "0.001"
    assert rows["seed"] == "42"
    assert int(rows["trained_parameters"].replace(",", "")) == training["parameters"]
    assert rows["dnafm"] == training["versions"]["dnafm"]
    assert "Classes: `acceptor`, `donor`, `neither`." in text


@pytest.mark.parametrize("backbone", ["dnafm", "dnafm_300m", "genbio-ai/AIDO.DNA-300M"])
def test_the_licence_of_genbio_goes_along(run, backbone):
    """Name, link and base model of weights that derive from GenBio's are theirs, whatever the run says else."""
    begin_from(run, backbone)
    metadata, text = card_of(run)
    base = {"dnafm": "genbio-ai/AIDO.DNA-7B"}.get(backbone, "genbio-ai/AIDO.DNA-300M")
    assert metadata["license"] == "other"
    assert metadata["license_name"] == "genbio-ai-community-license"
    assert metadata["license_link"] == f"https://huggingface.co/{base}"
    assert (metadata["base_model"], metadata["base_model_relation"]) == (base, "finetune")
    assert "non-commercial" in text
    assert "apache" not in text.lower()


def test_the_licence_of_a_folder_is_that_of_its_card(run, tmp_path):
    """A fine-tune of a fine-tune inherits licence and base model; the bundled checkpoint has Apache's."""
    base = tmp_path / "base"
    base.mkdir()
    front = "license: other\nlicense_name: lab\nlicense_link: https://lab.org/l\nbase_model: genbio-ai/AIDO.DNA-7B"
    (base / "README.md").write_text(f"---\n{front}\n---\n# Base\n")
    begin_from(run, str(base))
    metadata, text = card_of(run)
    inherited = {name: metadata[name] for name in ("license", "license_name", "license_link", "base_model")}
    assert inherited == yaml.safe_load(front)
    assert str(tmp_path) not in text
    begin_from(run, "dnafm_tiny")
    metadata, _ = card_of(run)
    assert metadata["license"] == "apache-2.0"
    assert "base_model" not in metadata


def test_no_licence_is_made_up(run):
    """Fresh weights, an unknown origin and a base without a card have none."""
    change_training(run, base_is_on_hub=True)
    begin_from(run, "eve/secret")
    metadata, _ = card_of(run)
    assert "license" not in metadata
    assert metadata["base_model"] == "eve/secret"
    change_settings(run, "model", from_scratch=True)
    metadata, text = card_of(run)
    assert not {"license", "base_model"} & metadata.keys()
    assert "It was trained from fresh weights" in text
    for name in ("config.yaml", "metrics.json"):
        (run / name).unlink()
    metadata, text = card_of(run)
    assert not {"license", "base_model"} & metadata.keys()
    assert "Not known: this checkpoint does not say what it was trained from." in text


def test_data_of_the_hub_are_named(run):
    """A Hub id is a data set of the metadata; what looks like one and was a folder is not, nor is a pattern."""
    change_settings(run, "data", path="ada/splice-sites")
    assert "datasets" not in card_of(run)[0]
    change_training(run, data_are_on_hub=True)
    change_settings(run, "data", path="ada/*.csv")
    assert "datasets" not in card_of(run)[0]
    change_settings(run, "data", path="ada/splice-sites")
    metadata, _ = card_of(run)
    assert metadata["datasets"] == ["ada/splice-sites"]
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "ada/splice-sites"


def test_nothing_says_where_files_were(run):
    """No file that goes to the Hub has a path of this machine in it, and the records still have the names."""
    files = files_to_publish(read_whole_checkpoint(run), REPO, with_code=True)
    assert {"task.json", "config.yaml", "metrics.json", "test/metrics.json", "test/metrics.tsv"} <= files.keys()
    for name, content in files.items():
        text = content if isinstance(content, bytes) else content.read_bytes()
        assert str(run.parent.parent).encode() not in text, name
    settings = yaml.safe_load(files["config.yaml"])
    assert settings["data"]["path"] == "table.tsv"
    assert not any(name.startswith("checkpoint-") or name.endswith((".png", ".bin", ".pt")) for name in files)


def test_a_card_that_somebody_wrote_is_kept(run):
    """One that was generated is made anew, and one without the mark goes to the Hub as it is."""
    checkpoint = read_whole_checkpoint(run)
    (run / "README.md").write_text(f"---\n---\n{GENERATED_MARK} of old -->\n")
    assert not has_own_card(run)
    assert b"of old" not in files_to_publish(checkpoint, REPO, with_code=False)["README.md"]
    (run / "README.md").write_text("# Mine\n")
    assert has_own_card(run)
    assert files_to_publish(checkpoint, REPO, with_code=False)["README.md"] == run / "README.md"


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json", "test/metrics.json"])
def test_damaged_records_are_named(run, name):
    """A file that is cut is an error and no card with half of the facts."""
    (run / name).write_text('{"model": [')
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        card_of(run)


def test_the_lines_of_the_card_load_the_model(model_class, tiny_model, tmp_path):
    """The Python code of every head's card runs, with the folder for the repository."""
    tiny_model(model_class).save_pretrained(tmp_path)
    _, text = card_of(tmp_path, with_code=True)
    code = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    assert len(code) == 2
    assert "trust_remote_code=True" in code[1]
    found = {}
    exec(code[0].replace(f'"{REPO}"', repr(str(tmp_path))), found)
    assert type(found["model"]) is model_class
    assert type(found["tokenizer"]).__name__ == "DNAFMTokenizer"


def test_every_class_has_its_words():
    """No model class is forgotten: all but the head for pairs, which has no Auto class, are loaded by one."""
    assert LOADERS.keys() == MODEL_CLASSES.keys() - {"DNAFMForPairwiseTokenClassification"}


def test_a_pretraining_is_told_of(tiny_model, tmp_path):
    """Its settings, its held-out metrics and its fresh weights are in the card."""
    tiny_model(DNAFMForMaskedLM).save_pretrained(tmp_path)
    settings = {"model": "tiny", "train_files": ["/data/yeast.fa.gz"], "optimizer": "muon", "learning_rate": None}
    report = {"steps": 1200, "settings": settings, "versions": {"dnafm": "0.1.0"}}
    report["metrics"] = {"train_loss": 1.3, "eval_yeast_nats_per_base": 1.25}
    (tmp_path / "pretraining.json").write_text(json.dumps(report))
    metadata, text = card_of(tmp_path)
    assert metadata["widget"][0]["text"].count("[MASK]") == 1
    assert "pretrained from fresh weights by dnafm 0.1.0 on `yeast.fa.gz`" in text
    assert "| steps | 1,200 |" in text
    assert "| optimizer | muon |" in text
    assert "| yeast_nats_per_base | 1.250 |" in text
    assert "/data" not in text
    settings["model"] = "dnafm_tiny"
    (tmp_path / "pretraining.json").write_text(json.dumps(report))
    assert card_of(tmp_path)[0]["license"] == "apache-2.0"


def test_outputs_in_other_units_are_told_of(tiny_model, tmp_path):
    """A regression that was trained on scaled targets says so."""
    names = {0: "score", 1: "depth", 2: "level"}
    scaler = {"mean": [1.0] * 3, "std": [2.0] * 3}
    model = tiny_model(DNAFMForTokenClassification, id2label=names, problem_type="regression", target_scaler=scaler)
    model.save_pretrained(tmp_path)
    _, text = card_of(tmp_path)
    assert "Outputs: `score`, `depth`, `level`, scaled to mean 0 and deviation 1" in text


def test_the_command_of_the_card_names_a_task(run):
    """`dnafm predict` in the card is that of the task that was fitted."""
    task = re.search(r"^dnafm predict --model (\w+) --checkpoint ada/promoters ", card_of(run)[1], re.MULTILINE)[1]
    assert task in TASKS
