import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnafm.tasks import options as task_options
from dnafm.tasks.configuration import as_dotted, as_nested, options_from, read_config, write_config
from dnafm.tasks.options import LoraOptions, ModelOptions, SequenceClassificationOptions

EXPECTED = {"model": {"name": "SequenceClassification", "n_classes": 3, "lora": {"r": 8, "alpha": 16.0}}, "seed": 1}
SPELLINGS = {
    "dotted": {
        "model": "SequenceClassification",
        "model.n_classes": 3,
        "model.lora.r": 8,
        "model.lora.alpha": 16.0,
        "seed": 1,
    },
    "nested": EXPECTED,
    "mixed": {
        "model": {"name": "SequenceClassification", "lora.r": 8, "n_classes": 3},
        "model.lora.alpha": 16.0,
        "seed": 1,
    },
    "mappings under dotted keys": {
        "model.name": "SequenceClassification",
        "model.n_classes": 3,
        "model.lora": {"r": 8},
        "model": {"lora": {"alpha": 16.0}},
        "seed": 1,
    },
    "twice the same": {**EXPECTED, "model.lora.r": 8},
    "Lightning": {
        "model": {
            "class_path": "modelgenerator.tasks.SequenceClassification",
            "init_args": {"n_classes": 3, "lora.r": 8, "lora": {"alpha": 16.0}},
        },
        "seed": 1,
    },
    "Lightning, dotted": {
        "model.class_path": "SequenceClassification",
        "model.init_args.n_classes": 3,
        "model.init_args.lora.r": 8,
        "model.lora.alpha": 16.0,
        "seed": 1,
    },
}
OPTION_TYPES = [
    option_type
    for option_type in vars(task_options).values()
    if isinstance(option_type, type) and issubclass(option_type, ModelOptions)
]
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
names = st.text(min_size=1)


@dataclass(kw_only=True, frozen=True)
class Inner:
    a: int = 1


@dataclass(kw_only=True, frozen=True)
class OuterOptions:
    path: str
    whole: int = 0
    number: float = 0.0
    switch: bool = False
    choice: Literal["all", 1] | None = None
    many: list[str | int] = field(default_factory=list)
    pairs: dict[str, str] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None


def outer(**section):
    return options_from(OuterOptions, {"path": "x", **section}, prefix="data")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_says_the_same(spelling, tmp_path):
    """Dotted, nested, mixed and Lightning's form, as a dictionary and from a file."""
    source = SPELLINGS[spelling]
    assert read_config(source) == EXPECTED
    write_config(tmp_path / "run.yaml", source)
    assert read_config(tmp_path / "run.yaml") == read_config(str(tmp_path / "run.yaml")) == EXPECTED


def test_sections_without_keys_are_there():
    """An empty mapping or nothing at all after `data:` is a section that keeps its defaults."""
    assert read_config({"data": None, "model": {}, "trainer": {"init_args": None}}) == {
        "data": {},
        "model": {},
        "trainer": {},
    }
    assert read_config({}) == {}


def test_dots_below_a_section_belong_to_the_key():
    """Columns have names with dots; they are not taken apart, whichever way the option is given."""
    names = {"gene.name": "sequence"}
    for source in ({"data.rename_columns": names}, {"data": {"rename_columns": names}}):
        assert read_config(source) == {"data": {"rename_columns": names}}


def test_reading_leaves_the_source_alone():
    """What is merged is merged into a copy."""
    source = {"model": {"lora": {"r": 8}}, "model.lora.alpha": 1.0}
    read_config(source)
    assert source == {"model": {"lora": {"r": 8}}, "model.lora.alpha": 1.0}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"model": {"lora": {"r": 8}}, "model.lora.r": 4}, "model.lora.r is given twice, as 8 and as 4"),
        ({"model": "Embed", "model.name": "MaskedLM"}, "model.name is given twice, as 'Embed' and as 'MaskedLM'"),
        ({"model.lora": 3, "model.lora.r": 4}, "model.lora is 3, and model.lora.r is given, too"),
        ({"model.lora.r": 4, "model.lora": 3}, "model.lora is given twice, as {'r': 4} and as 3"),
        ({"model.lora": {}, "model": {"lora": 3}}, "model.lora is given twice, as {} and as 3"),
        ({"modle.backbone": "x"}, "modle.backbone is in no section; did you mean model?"),
        ({"optimizer": {"lr": 1}}, "optimizer is in no section; there are model, data, trainer."),
        ({"model": 3}, "model is 3; a section is a mapping of options, or the name of a class."),
        ({"model..r": 3}, "'model..r' is no key"),
        ({"model": {1: 3}}, "1 is no key"),
    ],
)
def test_contradictions_and_strays_are_refused(source, message, tmp_path):
    """The message names the key and both values; from a file, the file as well."""
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        read_config(source)
    write_config(tmp_path / "run.yaml", source)
    with pytest.raises(ValueError, match=re.escape(f"run.yaml: {message}")):
        read_config(tmp_path / "run.yaml")


def test_keys_beside_the_sections_can_be_restricted():
    """By default all are kept; a list of them makes the others errors."""
    assert read_config({"seed": 1}) == read_config({"seed": 1}, top_level=["seed"]) == {"seed": 1}
    with pytest.raises(ValueError, match=r"^dry_rum is no key of a configuration; did you mean dry_run\?$"):
        read_config({"dry_rum": True}, top_level=["seed", "dry_run"])


def test_numbers_of_a_file_are_numbers(tmp_path):
    """`1e-4` is one, quoted it is a string; `none` is the word."""
    (tmp_path / "run.yaml").write_text("trainer: {a: 1e-4, b: '1e-4', c: -2E+3, d: .5e1, e: none, f: 1e, g: null}\n")
    expected = {"a": 0.0001, "b": "1e-4", "c": -2000.0, "d": 5.0, "e": "none", "f": "1e", "g": None}
    assert read_config(tmp_path / "run.yaml") == {"trainer": expected}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  lora:\n    r: 1\n    r: 2\n", r"run\.yaml:4: r is given twice"),
        ("seed: 1\nmodel: [1, 2\n", r"run\.yaml:3: .*valid YAML"),
        ("- model\n", r"run\.yaml holds \['model'\]; it must hold keys"),
        ("model: \x00\n", r"(?s)run\.yaml: .*valid YAML"),
        ("model: !!python/object/apply:os.getcwd []\n", r"run\.yaml:1: .*could not determine a constructor"),
    ],
)
def test_files_that_are_no_configuration_are_refused(text, message, tmp_path):
    """The message has the file and, where there is one, the line; nothing is run that a file names."""
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "run.yaml")


def test_empty_file_is_an_empty_configuration(tmp_path):
    """Comments alone say nothing; a file that is not there is an error."""
    (tmp_path / "run.yaml").write_text("# nothing\n")
    assert read_config(tmp_path / "run.yaml") == {}
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        read_config(tmp_path / "none.yaml")


def test_merged_mappings_may_be_overridden(tmp_path):
    """A key beside `<<` is not given twice: that is what YAML's merge is for."""
    (tmp_path / "run.yaml").write_text("model: &one {a: 1, b: 2}\ntrainer:\n  <<: *one\n  a: 3\n")
    assert read_config(tmp_path / "run.yaml")["trainer"] == {"a": 3, "b": 2}


def test_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    """A value of a foreign type is named, and nothing is left beside the file."""
    path = tmp_path / "run.yaml"
    write_config(path, {"seed": 1})
    with pytest.raises(ValueError, match=r"run\.yaml: .*Path\('a'\) is none of numbers"):
        write_config(path, {"seed": Path("a")})
    assert read_config(path) == {"seed": 1}
    assert os.listdir(tmp_path) == ["run.yaml"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    section=st.dictionaries(
        names, st.recursive(plain, lambda x: st.lists(x) | st.dictionaries(names, x), max_leaves=5)
    )
)
def test_every_value_comes_back_from_a_file(section, tmp_path):
    """Strings that look like numbers, dates or null are strings; numbers keep every bit."""
    write_config(tmp_path / "run.yaml", {"trainer.some": section, "model": {}})
    assert read_config(tmp_path / "run.yaml") == {"trainer": {"some": section}, "model": {}}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"bakbone": "x"}, "model.bakbone is no option of SequenceClassification; did you mean model.backbone?"),
        ({"lora_r": 8}, "model.lora_r is no option of SequenceClassification; did you mean model.lora.r?"),
        (
            {"lora": {"alhpa": 8}},
            "model.lora.alhpa is no option of SequenceClassification; did you mean model.lora.alpha?",
        ),
        (
            {"zzz": 1},
            "model.zzz is no option of SequenceClassification; there are model.backbone, model.from_scratch, ",
        ),
    ],
)
def test_unknown_key_is_told_its_nearest(section, message):
    """With its section; all there are where none is near."""
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        options_from(SequenceClassificationOptions, section, prefix="model")
    near = "did you mean" in message
    assert ("model.lora.target_modules" in str(caught.value)) != near


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"whole": "8"}, "data.whole is '8' (str); it must be an integer."),
        ({"whole": 8.0}, "data.whole is 8.0 (float); it must be an integer."),
        ({"whole": True}, "data.whole is True (bool); it must be an integer."),
        ({"whole": None}, "data.whole is None (NoneType); it must be an integer."),
        ({"number": "1e-4"}, "data.number is '1e-4' (str); it must be a number."),
        ({"number": False}, "data.number is False (bool); it must be a number."),
        ({"switch": "true"}, "data.switch is 'true' (str); it must be true or false."),
        ({"switch": 1}, "data.switch is 1 (int); it must be true or false."),
        ({"choice": "none"}, "data.choice is 'none' (str); it must be 'all' or 1 or null."),
        ({"choice": True}, "data.choice is True (bool); it must be 'all' or 1 or null."),
        ({"many": "a"}, "data.many is 'a' (str); it must be a list, each item a string or an integer."),
        ({"many": ["a", 1.5]}, "data.many is ['a', 1.5] (list); it must be a list, each item a string or an integer."),
        ({"pairs": {"a": 1}}, "data.pairs is {'a': 1} (dict); it must be a mapping, each value a string."),
        ({"anything": [1]}, "data.anything is [1] (list); it must be a mapping."),
        ({"inner": 3}, "data.inner is 3 (int); it must be a mapping."),
        ({"inner": {"a": "1"}}, "data.inner.a is '1' (str); it must be an integer."),
        ({"other": {"a": None}}, "data.other.a is None (NoneType); it must be an integer."),
        ({"path": None}, "data.path is None (NoneType); it must be a string."),
    ],
)
def test_value_of_another_type_is_refused(section, message):
    """The message names key, value and what is due; nothing is converted in silence."""
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        outer(**section)


def test_values_of_the_right_type_are_taken():
    """Integers are numbers; null stands for options that may be left open; nested options are built."""
    section = {
        "whole": -3,
        "number": 2,
        "switch": True,
        "choice": 1,
        "many": ["a", 2],
        "pairs": {"a.b": "c"},
        "anything": {"a": [1, None]},
        "inner": {"a": 5},
        "other": None,
    }
    assert outer(**section) == OuterOptions(path="x", **{**section, "inner": Inner(a=5)})
    assert outer(other={}).other == Inner()
    assert outer() == OuterOptions(path="x")


def test_missing_option_is_named():
    """One without a default must be given."""
    with pytest.raises(ValueError, match=r"^data\.path is missing, and it has no default\.$"):
        options_from(OuterOptions, {}, prefix="data")


@pytest.mark.parametrize("options_type", OPTION_TYPES, ids=lambda options_type: options_type.__name__)
def test_defaults_are_of_their_own_types(options_type):
    """The defaults of every task pass the check that what a user writes must pass."""
    assert options_from(options_type, as_nested(options_type()), prefix="model") == options_type()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=st.builds(
        SequenceClassificationOptions,
        lora=st.builds(
            LoraOptions,
            r=st.integers(min_value=0, max_value=64),
            alpha=st.floats(allow_nan=False) | st.integers(),
            target_modules=st.lists(st.text(), min_size=1),
        ),
        config_overrides=st.dictionaries(names, plain),
        quantization=st.none() | st.dictionaries(names, plain),
        max_length=st.none() | st.integers(min_value=3),
        n_classes=st.none() | st.integers(),
        multilabel=st.booleans(),
        pooling=st.sampled_from([None, "mean", "cls", "max"]),
        classifier_hidden_size=st.none() | st.integers(min_value=0),
    )
)
def test_options_survive_each_way_of_writing_them(options, tmp_path):
    """Dotted or nested, as dictionaries or through a file, the same options are built again."""
    dotted, nested = as_dotted(options, "model"), {"model": as_nested(options)}
    assert len(dotted) == len(fields(options)) - 1 + len(fields(LoraOptions))
    for source in (dotted, nested):
        write_config(tmp_path / "run.yaml", source)
        for config in (read_config(source), read_config(tmp_path / "run.yaml")):
            assert options_from(type(options), config["model"], prefix="model") == options
