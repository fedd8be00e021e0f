"""The command line of transformers, with dnafm imported."""

import sys

import pytest
from transformers import AutoModel

from dnafm import DNAFMModel


def test_env_runs_and_automatic_classes_stay_known(monkeypatch, capsys, tiny_model, tmp_path):
    """`transformers env` names its versions, and a checkpoint loads beside it."""
    from transformers.cli.transformers import main

    monkeypatch.setattr(sys, "argv", ["transformers", "env"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert "`transformers` version: 5." in capsys.readouterr().out
    tiny_model().save_pretrained(tmp_path)
    assert type(AutoModel.from_pretrained(tmp_path)) is DNAFMModel
