from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.training.architectures import PRESETS
from dnafm.training.pretraining_settings import PretrainingSettings


def settings(**changes):
    return PretrainingSettings(**{"train_files": ["a.fa"], "output_dir": "run", "max_steps": 10, **changes})


@pytest.fixture
def folder(tmp_path):
    """Three FASTA files, written out of order, a folder whose name ends like theirs, and another file."""
    for name in ("c.fa.gz", "a.fa.gz", "b.fa.gz", "readme.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.fa.gz").mkdir()
    return tmp_path


def test_patterns_are_expanded_in_order(folder):
    """Sorted within a pattern, patterns in the order given; folders do not count."""
    paths = settings(train_files=[str(folder / "[bc].fa.gz"), str(folder / "a.fa.gz")]).paths()
    assert paths == [folder / "b.fa.gz", folder / "c.fa.gz", folder / "a.fa.gz"]
    assert settings(train_files=[str(folder / "*.fa.gz")]).paths() == sorted(paths)


def test_file_may_be_named_like_a_pattern(folder):
    """What exists is taken as it is."""
    (folder / "a[1].fa").touch()
    (folder / "a1.fa").touch()
    assert settings(train_files=[str(folder / "a[1].fa")]).paths() == [folder / "a[1].fa"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["none.fa"], "none.fa does not exist"),
        (["folder.fa.gz"], "folder.fa.gz is a folder"),
        (["*.fasta"], r"\*.fasta matches no file"),
        (["folder*"], r"folder\* matches no file"),
        (["a.fa.gz", "none.fa"], "none.fa does not exist"),
        (["[ab].fa.gz", "./b.fa.gz", "c.fa.gz"], r"name \[.*b.fa.gz'\] more than once"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(folder, monkeypatch, names, message):
    """The error names the file or the pattern."""
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=f"^train_files.*{message}"):
        settings(train_files=names).paths()


@given(st.integers(1, 64), st.integers(1, 32), st.integers(1, 40))
def test_accumulation_reaches_the_global_batch(batch_size, n_ranks, n_passes):
    """Passes x ranks x batch is the global batch; one pass if none is asked for; what is no multiple is refused."""
    of_a_pass = batch_size * n_ranks
    exact = settings(batch_size=batch_size, global_batch_size=n_passes * of_a_pass)
    assert exact.accumulation_steps(n_ranks) == n_passes
    assert settings(batch_size=batch_size).accumulation_steps(n_ranks) == 1
    if of_a_pass > 1:
        off = settings(batch_size=batch_size, global_batch_size=n_passes * of_a_pass - 1)
        with pytest.raises(ValueError, match=f"is {n_passes * of_a_pass - 1}; .* = {batch_size} x {n_ranks}"):
            off.accumulation_steps(n_ranks)


@given(st.integers(1, 10**13), st.integers(1, 4096), st.integers(3, 10**5))
def test_steps_are_the_least_that_reach_the_tokens(max_tokens, windows_per_step, context_length):
    """One fewer would fall short, in exact arithmetic, also where floats would round."""
    n_steps = settings(max_steps=None, max_tokens=max_tokens).n_steps(windows_per_step, context_length)
    needed = Fraction(max_tokens, windows_per_step * context_length)
    assert n_steps - 1 < needed <= n_steps


def test_steps_are_taken_as_they_are():
    """Whatever a step holds."""
    assert settings(max_steps=7).n_steps(1024, 4000) == 7


def test_global_batch_of_dnafm():
    """By hand, the recipe of the 7B model: 1024 windows of 4000 tokens on 256 devices, 100,000 steps."""
    recipe = settings(model="dnafm", max_steps=None, max_tokens=409_600_000_000, batch_size=2, global_batch_size=1024)
    assert recipe.accumulation_steps(256) == 2
    assert recipe.n_steps(1024, 4000) == 100_000


@pytest.mark.parametrize("model", PRESETS)
def test_learning_rate_is_the_presets_unless_set(model):
    """Also for a checkpoint, which has no preset and needs one."""
    assert settings(model=model).peak_learning_rate() == PRESETS[model].learning_rate
    assert settings(model=model, learning_rate=3e-5).peak_learning_rate() == 3e-5
    assert settings(model="runs/tiny", learning_rate=3e-5).peak_learning_rate() == 3e-5


@pytest.mark.parametrize(
    "name",
    [
        "max_steps",
        "batch_size",
        "global_batch_size",
        "learning_rate",
        "eval_every_steps",
        "eval_windows",
        "save_every_steps",
        "keep_checkpoints",
        "logging_steps",
    ],
)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_numbers_that_must_be_positive_are(name, value):
    """The error names the setting, its value and the rule."""
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be greater than 0"):
        settings(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_files": []}, "There are no train_files. Name at least one FASTA file"),
        (
            {"max_steps": None},
            "max_tokens is None and max_steps is None: the length of the training",
        ),
        ({"max_tokens": 5}, "max_tokens is 5 and max_steps is 10: the length of the training"),
        ({"max_steps": None, "max_tokens": 0}, "max_tokens is 0; it must be greater than 0"),
        ({"workers": -1}, "workers is -1; it must be at least 0"),
        ({"model": "config.json"}, "There is no learning rate that suits config.json. Set learning_rate"),
    ],
)
def test_settings_that_contradict_are_refused(changes, message):
    """Before anything is opened."""
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_defaults_are_the_recipe_of_dnafm():
    """As the model's description states it: masks 15 % by 80/10/10, Adam's decays 0.9 and 0.95, cosine schedule."""
    defaults = settings()
    assert (defaults.mlm_probability, defaults.mask_share, defaults.random_share) == (0.15, 0.8, 0.1)
    assert (defaults.adam_beta1, defaults.adam_beta2, defaults.lr_scheduler_type) == (0.9, 0.95, "cosine")
    assert (defaults.objective, defaults.size_power) == ("mlm", 1)


def test_settings_do_not_share_lists():
    """Changing one's overrides leaves the defaults as they are."""
    settings().config_overrides["hidden_size"] = 1
    assert settings().config_overrides == {}
    assert Path(settings().output_dir) == Path("run")
