"""What training shows."""

from transformers import TrainerControl, TrainerState, TrainingArguments

from dnafm.training.progress import LogLines


def entries_shown(tmp_path, capsys, *, is_first_rank: bool) -> str:
    lines = LogLines(lambda step, n_steps, entry: f"{step}/{n_steps} {entry['loss']}" if "loss" in entry else None)
    state = TrainerState(global_step=3, max_steps=9, is_world_process_zero=is_first_rank)
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    for entry in ({"loss": 1.5}, {"other": 2.0}):
        lines.on_log(arguments, state, TrainerControl(), logs=entry)
    return capsys.readouterr().out


def test_lines_are_those_that_are_described(tmp_path, capsys):
    """Step, number of steps and entry are handed over, and None gives no line."""
    assert entries_shown(tmp_path, capsys, is_first_rank=True) == "3/9 1.5\n"


def test_other_ranks_are_silent(tmp_path, capsys):
    """One line for all ranks together."""
    assert entries_shown(tmp_path, capsys, is_first_rank=False) == ""
