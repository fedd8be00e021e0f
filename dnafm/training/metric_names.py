"""The names of the metrics, which way each is better, and what a wrong name may have meant."""

import difflib
from collections.abc import Sequence

METRICS_BY_KIND: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "mcc", "macro_f1", "auroc", "auprc", "loss"),
    "multilabel": ("subset_accuracy", "macro_f1", "auroc", "auprc", "loss"),
    "regression": ("pearson", "spearman", "r2", "mae", "rmse", "loss"),
    "masked_lm": ("nats_per_base", "accuracy", "loss"),
}
# Metrics of one class, label or output, whose name follows after an underscore.
PER_NAME_METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("f1", "auroc", "auprc"),
    "multilabel": ("f1", "auroc", "auprc"),
    "regression": ("pearson", "spearman", "r2", "mae", "rmse"),
    "masked_lm": (),
}
LOWER_IS_BETTER = frozenset({"loss", "mae", "rmse", "nats_per_base"})
# What transformers.Trainer puts before the names.
_PREFIX = "eval_"


def is_greater_better(metric_name: str) -> bool:
    """Return whether a higher value of a metric is better, for model selection.

    Args:
        metric_name: A name of `METRICS_BY_KIND`, or that of one class, label or output, such as `f1_donor`; with or
            without the `eval_` of `transformers.Trainer`.

    Raises:
        ValueError: there is no such metric; names the nearest.
    """
    name = metric_name.removeprefix(_PREFIX)
    names = _unique(METRICS_BY_KIND)
    if name in names:
        return name not in LOWER_IS_BETTER
    for metric in _unique(PER_NAME_METRICS):
        if name.startswith(f"{metric}_"):
            return metric not in LOWER_IS_BETTER
    raise ValueError(_unknown_metric(metric_name, names))


def check_metric_name(metric_name: str, kind: str, *, names: Sequence[str] = ()) -> None:
    """Raise a ValueError that names the nearest metric where a kind of task has none of that name.

    Args:
        metric_name: With or without the `eval_` of `transformers.Trainer`.
        kind: A key of `METRICS_BY_KIND`.
        names: Of the classes, labels or outputs, where their own metrics may be meant, too.
    """
    known = [*METRICS_BY_KIND[kind], *(f"{metric}_{name}" for metric in PER_NAME_METRICS[kind] for name in names)]
    if metric_name.removeprefix(_PREFIX) not in known:
        raise ValueError(_unknown_metric(metric_name, known))


def _unknown_metric(metric_name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(metric_name.removeprefix(_PREFIX).lower(), known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"the metrics are {', '.join(known)}."
    return f"There is no metric {metric_name!r}; {hint}"


def _unique(names_by_kind: dict[str, tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(name for names in names_by_kind.values() for name in names))
