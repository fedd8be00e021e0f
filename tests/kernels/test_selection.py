"""Which kernel runs where, with availability faked: the tests need no GPU."""

import logging

import pytest
import torch

from dnafm import DNAFMConfig, DNAFMModel, kernels_dnafm
from dnafm.kernels_dnafm import KernelRequest, chosen_kernels, select_attention, select_rope

H100 = KernelRequest("cuda", (9, 0), torch.bfloat16, head_dim=136, rotary_dim=136)
CPU = KernelRequest("cpu", None, torch.float32, head_dim=136, rotary_dim=136)


def change(request, **fields):
    return KernelRequest(**{**vars(request), **fields})


@pytest.fixture
def installed(monkeypatch):
    """Make kernels importable, or not, by name; returns the set of names, empty at first."""
    names = set()

    def load(name, *_):
        if name not in names:
            raise ImportError(f"No module named {name!r}")
        return lambda *args, **kwargs: name

    monkeypatch.setattr(kernels_dnafm, "flash_attention_2_function", load)
    monkeypatch.setattr(kernels_dnafm, "rotary_function", load)
    chosen_kernels.cache_clear()
    yield names
    chosen_kernels.cache_clear()


@pytest.mark.parametrize(
    ("available", "provider"), [({"flash-attn", "torch"}, "flash-attn"), ({"torch"}, "torch"), (set(), None)]
)
def test_auto_takes_the_first_way_to_flash_attention_that_imports(installed, available, provider):
    """The flash-attn package, then torch's own kernel, then sdpa; what was passed over says why."""
    installed |= available
    choice = select_attention("auto", H100)
    if provider is None:
        assert choice.name == "sdpa"
        assert [kernel for kernel, _ in choice.passed_over] == [
            "flash_attention_2 of flash-attn",
            "flash_attention_2 of torch",
        ]
    else:
        assert choice.name == "flash_attention_2"
        assert choice.provider.split()[0] == provider


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"device": "cpu", "capability": None}, "needs a CUDA device, not cpu"),
        ({"capability": (7, 5)}, r"needs compute capability 8\.0, not 7\.5"),
        ({"dtype": torch.float32}, "needs float16 or bfloat16, not torch.float32"),
        ({"head_dim": 34}, "a multiple of 8, not 34"),
        ({"head_dim": 264}, "up to 256"),
    ],
)
def test_flash_attention_asked_for_by_name_runs_or_says_why_not(installed, fields, reason):
    """Nothing falls back in silence: by name it raises with reason and remedy, `auto` chooses sdpa."""
    installed |= {"flash-attn", "torch"}
    request = change(H100, **fields)
    with pytest.raises(ValueError, match=reason) as error:
        select_attention("flash_attention_2", request)
    assert "attn_implementation='auto'" in str(error.value)
    assert select_attention("auto", request).name == "sdpa"


def test_attention_dropout_needs_the_flash_attn_package(installed):
    """Torch's variable-length kernel has no dropout."""
    installed |= {"flash-attn", "torch"}
    request = change(H100, dropout=0.1)
    assert select_attention("auto", request).provider.split()[0] == "flash-attn"
    installed.remove("flash-attn")
    assert select_attention("auto", request).name == "sdpa"


def test_a_missing_package_is_told_with_the_command_that_installs_it(installed):
    """The reason names the extra."""
    with pytest.raises(ValueError, match=r"pip install 'dnafm\[flash\]'"):
        select_attention("flash_attention_2", H100)
    with pytest.raises(ValueError, match=r"pip install 'dnafm\[kernels\]'"):
        select_rope("liger", H100)


@pytest.mark.parametrize(
    ("available", "request_fields", "name"),
    [
        ({"flash_attn", "liger", "hub"}, {}, "flash_attn"),
        ({"liger", "hub"}, {}, "liger"),
        ({"liger"}, {"rotary_dim": 68}, "eager"),
        ({"hub"}, {}, "eager"),
        (set(), {}, "eager"),
        ({"flash_attn", "liger"}, {"device": "cpu", "capability": None}, "eager"),
    ],
)
def test_auto_takes_the_first_rotary_kernel_that_can_run(installed, available, request_fields, name):
    """flash-attn's, Liger's for whole heads, eager; the Hub's only where it is asked for."""
    installed |= available
    assert select_rope("auto", change(H100, **request_fields)).name == name


def test_the_hub_kernel_runs_only_when_asked_for_and_without_gradients(installed):
    """Its backward pass is not that of a rotary embedding."""
    installed.add("hub")
    assert select_rope("hub", H100).name == "hub"
    with pytest.raises(ValueError, match="no correct backward pass"):
        select_rope("hub", change(H100, needs_gradient=True))


def test_a_choice_is_said_once_and_loudly_only_on_a_gpu(installed, caplog):
    """On a GPU a slower kernel is a warning with reasons; on a CPU there is nothing to put right."""
    with caplog.at_level(logging.INFO, logger="transformers.dnafm.kernels_dnafm"):
        for _ in range(3):
            chosen_kernels("auto", "auto", H100)
            chosen_kernels("auto", "auto", CPU)
    levels = [record.levelname for record in caplog.records]
    assert sorted(levels) == ["INFO", "WARNING"]
    warning = next(record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "runs with sdpa attention and eager rotary embedding" in warning
    assert "not flash_attention_2 of flash-attn: No module named 'flash-attn'" in warning


def test_kernels_are_chosen_by_keyword_and_reported():
    """`attn_implementation` and `rope_implementation` reach the model, and the report tells them."""
    config = DNAFMConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
    model = DNAFMModel._from_config(config, attn_implementation="eager", rope_implementation="eager")
    report = model.kernel_report()
    assert (report.attention.name, report.rope.name) == ("eager", "eager")
    assert (report.device, report.dtype) == ("cpu", torch.float32)
    model.set_attn_implementation("auto")
    assert model.kernel_report().attention.name == "sdpa"
    assert "needs a CUDA device" in str(model.kernel_report())


def test_auto_survives_a_second_model_on_the_same_config():
    """A config that one model has used still means `auto` to the next."""
    config = DNAFMConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
    DNAFMModel(config)
    assert DNAFMModel(config).config.attention_requested == "auto"


def test_a_report_uses_the_autocast_dtype():
    """Under autocast, queries and keys have its dtype, whatever the weights have."""
    config = DNAFMConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
    model = DNAFMModel(config)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.kernel_report().dtype == torch.bfloat16
