import pytest

from dnafm.training import metrics
from dnafm.training.metrics import METRICS_BY_KIND, check_metric_name, is_greater_better


@pytest.mark.parametrize(
    ("metric_name", "expected"),
    [
        ("mcc", True),
        ("eval_auroc", True),
        ("f1_donor", True),
        ("r2_half life", True),
        ("loss", False),
        ("eval_loss", False),
        ("rmse", False),
        ("mae_half life", False),
        ("nats_per_base", False),
    ],
)
def test_lower_is_better_for_errors_alone(metric_name, expected):
    """With the trainer's prefix and with the name of a class or output, too."""
    assert is_greater_better(metric_name) is expected


def test_every_named_metric_has_a_direction():
    """And is accepted for its kind, with and without the prefix."""
    for kind, names in METRICS_BY_KIND.items():
        for name in names:
            assert is_greater_better(name) in (True, False)
            check_metric_name(name, kind)
            check_metric_name(f"eval_{name}", kind)


def test_a_wrong_name_gets_the_nearest_one():
    """Near ones are suggested; where nothing is near, all are listed."""
    with pytest.raises(ValueError, match="no metric 'accurracy'; did you mean 'accuracy'"):
        check_metric_name("accurracy", "classification")
    with pytest.raises(ValueError, match="no metric 'MCC'; did you mean 'mcc'"):
        is_greater_better("MCC")
    with pytest.raises(ValueError, match="the metrics are pearson, spearman, r2, mae, rmse, loss"):
        check_metric_name("zzz", "regression")


def test_metrics_of_classes_need_a_class_of_that_name():
    """`f1_donor` is one of a task with that class only."""
    check_metric_name("f1_donor", "classification", names=["donor", "acceptor"])
    with pytest.raises(ValueError, match="did you mean 'f1_donor'"):
        check_metric_name("f1_doner", "classification", names=["donor", "acceptor"])
    with pytest.raises(ValueError, match="no metric 'mcc'"):
        check_metric_name("mcc", "regression")


def test_the_public_names_exist():
    """`__all__` is what other modules import."""
    assert all(hasattr(metrics, name) for name in metrics.__all__)
