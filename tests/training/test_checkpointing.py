import re

import pytest

from dnafm.training.checkpointing import (
    MARK,
    checkpoint_to_resume,
    complete_checkpoints,
    mark_complete,
    remove_old_checkpoints,
    unmark,
)


@pytest.fixture
def run(tmp_path):
    """Factory of a run's folder: whole checkpoints at some steps, and cut ones at others."""

    def build(*whole, cut=()):
        for step in (*whole, *cut):
            (tmp_path / f"checkpoint-{step}" / "shards").mkdir(parents=True)
            (tmp_path / f"checkpoint-{step}" / "shards" / "0.bin").write_bytes(b"weights")
        for step in whole:
            mark_complete(tmp_path / f"checkpoint-{step}")
        return tmp_path

    return build


def names(folders):
    return [folder.name for folder in folders]


def test_checkpoints_are_ordered_by_step_and_only_whole_ones_count(run):
    """By number, not by text; what else is in the folder is passed over."""
    folder = run(900, 1000, 20, cut=[1100])
    for name in ("checkpoint-best", "checkpoint-", "my-checkpoint-5", "checkpoint-5.tmp"):
        (folder / name).mkdir()
        (folder / name / MARK).touch()
    (folder / "checkpoint-7").touch()
    assert names(complete_checkpoints(folder)) == ["checkpoint-20", "checkpoint-900", "checkpoint-1000"]
    assert complete_checkpoints(folder / "missing") == []


def test_mark_comes_last_and_can_be_withdrawn(run):
    """Files of a marked checkpoint are as they were, and unmarking twice is no error."""
    folder = run(5) / "checkpoint-5"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["0.bin", MARK]
    assert (folder / "shards" / "0.bin").read_bytes() == b"weights"
    for _ in range(2):
        unmark(folder)
        assert complete_checkpoints(folder.parent) == []
    mark_complete(folder)
    assert complete_checkpoints(folder.parent) == [folder]


def test_auto_resumes_from_the_last_whole_one(run):
    """A later one that was cut short is never resumed from."""
    folder = run(10, 20, cut=[30])
    assert checkpoint_to_resume(folder, "auto") == folder / "checkpoint-20"


def test_auto_starts_anew_where_nothing_is_whole(run):
    """In an empty folder, in none, and beside a checkpoint that was cut short."""
    folder = run(cut=[30])
    assert checkpoint_to_resume(folder, "auto") is None
    assert checkpoint_to_resume(folder / "missing", "auto") is None


def test_requested_checkpoint_may_lie_anywhere(run, tmp_path):
    """An earlier one of the run, or one that was copied and renamed."""
    folder = run(10, 20)
    copy = (folder / "checkpoint-10").rename(tmp_path / "the good one")
    assert checkpoint_to_resume(folder, str(copy)) == copy
    assert checkpoint_to_resume(folder, str(folder / "checkpoint-20")) == folder / "checkpoint-20"


def test_unusable_request_is_refused_and_names_what_is_there(run):
    """The reason is that there is none or that writing it was cut short; the whole ones are listed."""
    folder = run(10, 20, cut=[30])
    there = re.escape(f"Whole ones in {folder}: {folder / 'checkpoint-10'}, {folder / 'checkpoint-20'}.")
    with pytest.raises(
        ValueError, match=f"checkpoint-30 has no file 'complete', so writing it was cut short. {there}"
    ):
        checkpoint_to_resume(folder, str(folder / "checkpoint-30"))
    with pytest.raises(ValueError, match=f"checkpoint-40 does not exist. {there}"):
        checkpoint_to_resume(folder, str(folder / "checkpoint-40"))
    with pytest.raises(ValueError, match=r"missing: none\."):
        checkpoint_to_resume(folder / "missing", "nowhere")


def test_new_run_does_not_write_into_another(run):
    """Without a request the folder must be empty or missing, and the error says both ways on."""
    folder = run()
    assert checkpoint_to_resume(folder, None) is None
    assert checkpoint_to_resume(folder / "missing", None) is None
    run(10)
    with pytest.raises(FileExistsError, match=r"is not empty.*--resume_from_checkpoint auto.*another --output_dir"):
        checkpoint_to_resume(folder, None)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (3, [10, 15, 20, 30, 40]),
        (2, [20, 30, 40]),
        (1, [30, 40]),
        (0, [30, 40]),
    ],
)
def test_removal_keeps_the_last_whole_ones(run, keep, left):
    """Whole 10, 20, 30: `keep` of them stay, at least one, and of the cut 5, 15, 40 those that come after these.

    A cut one is not counted, and one older than all that stay goes.
    """
    folder = run(10, 20, 30, cut=[5, 15, 40])
    remove_old_checkpoints(folder, keep=keep)

    assert sorted(int(path.name.split("-")[1]) for path in folder.iterdir()) == left


def test_removal_keeps_the_best_one(run):
    """However old it is."""
    folder = run(10, 20, 30)
    remove_old_checkpoints(folder, keep=1, best=folder / "checkpoint-10")
    assert sorted(names(folder.iterdir())) == ["checkpoint-10", "checkpoint-30"]


def test_removal_leaves_all_where_nothing_is_whole(run):
    """A cut checkpoint may still be wanted by hand; without a whole one nothing is old."""
    folder = run(cut=[10, 20])
    remove_old_checkpoints(folder, keep=1)
    assert sorted(names(folder.iterdir())) == ["checkpoint-10", "checkpoint-20"]


def test_removal_that_is_killed_leaves_nothing_that_counts(run, monkeypatch):
    """The mark goes first: a folder that is half removed is not whole."""
    folder = run(10, 20)

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("dnafm.training.checkpointing.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_old_checkpoints(folder, keep=1)
    assert (folder / "checkpoint-10" / "shards" / "0.bin").exists()
    assert names(complete_checkpoints(folder)) == ["checkpoint-20"]
