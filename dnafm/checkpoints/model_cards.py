"""The model card of a checkpoint that goes to the Hub, from what is in its folder."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dnafm.checkpoints.backbones import backbone_location
from dnafm.checkpoints.converted_cards import LOADERS, RELEASED_OWNER
from dnafm.checkpoints.foreign import ForeignCheckpoint
from dnafm.checkpoints.run_records import RunRecord, read_run_record
from dnafm.modeling_dnafm import HUB_TAGS
from dnafm.reports.metric_tables import format_metrics
from dnafm.version import __version__

CARD_NAME = "README.md"
GENERATED_MARK = "<!-- Made by dnafm push"
_HEADS = {
    "DNAFMModel": "an encoder of DNA without a head",
    "DNAFMForMaskedLM": "a masked language model of DNA",
    "DNAFMForSequenceClassification": "a DNA FM that predicts for whole sequences",
    "DNAFMForTokenClassification": "a DNA FM that predicts for each base",
    "DNAFMForPairwiseTokenClassification": "a DNA FM that predicts for pairs of bases",
}
_EXAMPLE = "ACGTGGCTAGCTA{}GCTAGGATCCA"
_SHOWN_LABELS = 20


@dataclass(frozen=True)
class Licence:
    """Under what terms weights may be used, as far as it is known.

    Attributes:
        fields: of the metadata of a card; empty where it is not known.
        sentence: for people.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    sentence: str = ""


def has_own_card(folder: Path) -> bool:
    """Return whether a folder has a model card that somebody wrote, or changed to keep."""
    path = folder / CARD_NAME
    return path.is_file() and GENERATED_MARK not in path.read_text(encoding="utf-8")


def model_card(checkpoint: ForeignCheckpoint, repo_id: str, *, with_code: bool = False) -> str:
    """Return the text of README.md: licence, metrics, training and data of the run, and how to load it.

    Args:
        checkpoint: in a folder, where `dnafm fit`, `test` and `pretrain` left what they know.
        repo_id: where it will be.
        with_code: whether the code of the model goes with it.

    Raises:
        ValueError: a file of the run is damaged; the message names it.
    """
    record = read_run_record(checkpoint.path)
    licence = licence_of(record)
    name = repo_id.split("/")[-1]
    sections = [
        f"{GENERATED_MARK} {__version__}, which makes it anew each time. Remove this line to keep what you write. -->",
        f"# {name}",
        "\n".join(_description(checkpoint, record)),
        "\n".join(_usage(checkpoint, record, repo_id, with_code=with_code)),
        *(_results(record) if record else ()),
        *(_training(record) if record else ()),
        f"## Licence\n\n{licence.sentence}",
        "## Limits\n\nNo output of this model has been validated for decisions about health.",
    ]
    metadata = _metadata(checkpoint, record, licence, name).to_yaml()
    return f"---\n{metadata}\n---\n\n" + "\n\n".join(sections) + "\n"


def licence_of(record: RunRecord | None) -> Licence:
    """Return the licence of weights, which is that of the weights that they were trained from.

    It is never made up: of fresh weights, and of those whose origin is unknown, whoever publishes them has to say.
    """
    if record is None:
        return Licence(
            sentence="Not known: this checkpoint does not say what it was trained from. The licence of those weights "
            f"holds for these as well; that of the weights of `{RELEASED_OWNER}` is non-commercial."
        )
    if record.base is None:
        return Licence(sentence="The weights were trained from nothing else; whoever made them says who may use them.")
    if record.base.startswith(f"{RELEASED_OWNER}/"):
        return _licence_of_genbio(record.base)
    return _licence_of_card(record.base)


def _licence_of_genbio(base: str) -> Licence:
    link = f"https://huggingface.co/{base}"
    fields = {"license": "other", "license_name": "genbio-ai-community-license", "license_link": link}
    sentence = (
        f"The weights derive from [{base}]({link}) and are under its licence, GenBio's community licence, which is "
        "non-commercial: read it where those weights are."
    )
    return Licence({**fields, "base_model": base}, sentence)


def _licence_of_card(base: str) -> Licence:
    """Return what the card of a folder says, if it is there."""
    path = Path(backbone_location(base)) / CARD_NAME
    data = ModelCard.load(path).data.to_dict() if path.is_file() else {}
    fields = {name: data[name] for name in ("license", "license_name", "license_link", "base_model") if name in data}
    shown = Path(base).name if Path(base).is_absolute() else base
    told = f" ({fields['license_name' if 'license_name' in fields else 'license']})" if "license" in fields else ""
    return Licence(fields, f"The weights derive from `{shown}` and are under its licence{told}.")


def _metadata(checkpoint: ForeignCheckpoint, record: RunRecord | None, licence: Licence, name: str) -> ModelCardData:
    _, pipeline_tag = LOADERS.get(checkpoint.model_class.__name__, (None, None))
    fields: dict[str, Any] = dict(licence.fields)
    if record is not None and record.base is not None and record.base_is_on_hub:
        fields["base_model"] = record.base
    if "base_model" in fields:
        fields["base_model_relation"] = "finetune"
    masked = "[MASK]" if pipeline_tag == "fill-mask" else ""
    results = list(_eval_results(record, pipeline_tag)) if record and pipeline_tag else []
    return ModelCardData(
        library_name="transformers",
        tags=list(HUB_TAGS),
        datasets=list(record.data) if record and record.data_are_on_hub else None,
        pipeline_tag=pipeline_tag,
        widget=[{"text": _EXAMPLE.format(masked)}] if pipeline_tag else None,
        model_name=name if results else None,
        eval_results=results or None,
        **fields,
    )


def _eval_results(record: RunRecord, pipeline_tag: str) -> Iterator[EvalResult]:
    """Yield the metrics of the last split, which is the test split where there is one."""
    if not record.metrics or not record.data:
        return
    split, shown = list(record.metrics)[-1], _shown_data(record)[0]
    for name, value in record.metrics[split].items():
        yield EvalResult(
            task_type=pipeline_tag,
            dataset_type=shown if record.data_are_on_hub else re.sub(r"[^\w.-]", "-", shown),
            dataset_name=shown,
            dataset_split=split,
            metric_type=name,
            metric_name=name,
            metric_value=value,
        )


def _description(checkpoint: ForeignCheckpoint, record: RunRecord | None) -> Iterator[str]:
    config, n_layers = checkpoint.config, checkpoint.config.num_hidden_layers
    n_parameters = sum(tensor.n_values for tensor in checkpoint.tensors.values())
    name = checkpoint.model_class.__name__
    yield (
        f"{_HEADS[name][0].upper()}{_HEADS[name][1:]} (`{name}`), {n_parameters:,} parameters: "
        f"{n_layers} layer{'s' if n_layers > 1 else ''}, width {config.hidden_size:,}, {config.num_attention_heads} "
        f"heads, feed-forward width {config.intermediate_size:,}. It reads DNA, one token for each base, up to "
        f"{config.max_position_embeddings:,} tokens."
    )
    if record is not None:
        began = f"from {_shown_base(record)}" if record.base else "from fresh weights"
        version = f" by dnafm {record.versions['dnafm']}" if "dnafm" in record.versions else ""
        made = "trained" if record.task and not record.base else record.kind
        yield f"It was {made} {began}{version}{_on_data(record)}."
    if name not in ("DNAFMModel", "DNAFMForMaskedLM"):
        yield _outputs(config)


def _outputs(config: Any) -> str:
    names = [f"`{config.id2label[index]}`" for index in range(config.num_labels)]
    more = f" and {len(names) - _SHOWN_LABELS} more" if len(names) > _SHOWN_LABELS else ""
    listed = f"{', '.join(names[:_SHOWN_LABELS])}{more}"
    if config.problem_type != "regression":
        return f"Classes: {listed}."
    is_scaled = getattr(config, "target_scaler", None) is not None
    scale = ", scaled to mean 0 and deviation 1; `dnafm predict` gives the units of the data" if is_scaled else ""
    return f"Outputs: {listed}{scale}."


def _usage(checkpoint: ForeignCheckpoint, record: RunRecord | None, repo_id: str, *, with_code: bool) -> Iterator[str]:
    name = checkpoint.model_class.__name__
    loader, _ = LOADERS.get(name, (name, None))
    version = f"=={__version__}" if with_code else ""
    module = "transformers" if loader in dict(LOADERS.values()) else "dnafm"
    yield "## Use\n\n```py"
    yield f"import dnafm  # pip install dnafm{version}"
    yield from _loading_lines(module, loader, f'"{repo_id}"')
    if record is not None and record.task is not None:
        yield "\n```bash"
        yield f"dnafm predict --model {record.task} --checkpoint {repo_id} --data.path new.csv -o predictions.tsv"
        yield "```"
    if with_code:
        yield f"\nWithout dnafm, by the code in this repository, which is that of dnafm {__version__}:\n\n```py"
        loader = loader if module == "transformers" else "AutoModel"
        yield from _loading_lines("transformers", loader, f'"{repo_id}", trust_remote_code=True')


def _loading_lines(module: str, loader: str, arguments: str) -> list[str]:
    imports = {module: [loader]}
    imports.setdefault("transformers", []).append("AutoTokenizer")
    return [
        *(f"from {name} import {', '.join(names)}" for name, names in sorted(imports.items())),
        "",
        f"model = {loader}.from_pretrained({arguments})",
        f"tokenizer = AutoTokenizer.from_pretrained({arguments})",
        "```",
    ]


def _results(record: RunRecord) -> Iterator[str]:
    if not record.metrics:
        return
    intervals = {split: dict(limits) for split, limits in record.intervals.items() if limits}
    table = format_metrics(record.metrics, intervals=intervals or None, markdown=True)
    note = "\n\n[ ]: 95 % confidence intervals, by the bootstrap over sequences." if intervals else ""
    yield f"## Results\n\n{table}{note}"


def _training(record: RunRecord) -> Iterator[str]:
    rows = [f"{n:,} {split}" for split, n in record.rows.items()]
    if rows:
        yield f"## Data\n\n{_listed_data(record)}; rows: {', '.join(rows)}."
    table = {**record.arguments, **record.versions}
    if table:
        lines = [f"| {name} | {_shown_value(value)} |" for name, value in table.items()]
        yield "\n".join(["## Training", "", "| | |", "| --- | --- |", *lines])


def _shown_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _shown_base(record: RunRecord) -> str:
    """Return the name of the base; where it was on a machine is nobody's business."""
    base = str(record.base)
    if record.base_is_on_hub or base.startswith(f"{RELEASED_OWNER}/"):
        return f"[{base}](https://huggingface.co/{base})"
    return f"`{Path(base).name}`"


def _shown_data(record: RunRecord) -> list[str]:
    return list(record.data) if record.data_are_on_hub else [Path(path).name for path in record.data]


def _on_data(record: RunRecord) -> str:
    return f" on {_listed_data(record)}" if record.data else ""


def _listed_data(record: RunRecord) -> str:
    return ", ".join(f"`{name}`" for name in _shown_data(record))
