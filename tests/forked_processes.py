"""Python programs in processes that are forked off one which has imported the package: a process starts at once.

They are processes like any other: with an environment, a working directory and streams of their own, they can be
killed, and they leave an exit code. On two ranks they get what torchrun gives, the store in the launching process
included.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import connection, forkserver
from pathlib import Path

import torch
from torch.distributed import TCPStore

_CONTEXT = multiprocessing.get_context("forkserver")
# `datasets` is not among them: it reads from the environment where its cache is when it is imported.
_CONTEXT.set_forkserver_preload(["dnafm.cli.main", "transformers.trainer", "torch.distributed.fsdp"])
_OFFLINE_ON_ONE_THREAD = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
_SECONDS = 300
DNAFM = ("-m", "dnafm")


class ForkedProcess:
    """A program, by default the command, offline and on one thread, used much as a `subprocess.Popen` is.

    Args:
        words: its arguments.
        program: `-m` and a module, or a script.
        environment: on top of the present one.
    """

    def __init__(
        self, *words: object, program: Sequence[object] = DNAFM, environment: Mapping[str, str] | None = None
    ):
        _start_server()
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name, name) for name in ("out", "err")]
        settings = {**os.environ, **_OFFLINE_ON_ONE_THREAD, **(environment or {})}
        self.process = _CONTEXT.Process(
            target=_run, args=([*map(str, (*program, *words))], os.getcwd(), settings, self._streams)
        )
        self.process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, less than 0 of a signal, or None of a process that runs."""
        return self.process.exitcode

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)

    def communicate(self, timeout: float = _SECONDS) -> tuple[str, str]:
        """Wait for the end, and return what it has written to either stream."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired("python", timeout)
        written = tuple(path.read_text() if path.exists() else "" for path in self._streams)
        self._folder.cleanup()
        return written


def run_forked(*words: object) -> str:
    """Run the command to its end, and return what it wrote to stdout.

    Raises:
        AssertionError: it has failed.
    """
    process = ForkedProcess(*words)
    written, errors = process.communicate()
    assert process.returncode == 0, errors
    return written


def kill_when(has_begun: Callable[[], object], *words: object) -> None:
    """Start the command, and kill it with SIGKILL, which no program can catch, as soon as something is true.

    Raises:
        AssertionError: it ended by itself.
    """
    process = ForkedProcess(*words)
    end = time.monotonic() + _SECONDS
    while not has_begun() and process.returncode is None and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors


def run_on_two_ranks(*words: object, program: Sequence[object] = DNAFM) -> str:
    """Run a program, by default the command, on two ranks, as torchrun does, and return what they wrote to stdout.

    Raises:
        AssertionError: one of them has failed; the other one is killed then.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = [ForkedProcess(*words, program=program, environment=_of_rank(rank, store.port)) for rank in range(2)]
    running = {rank.process.sentinel: rank for rank in ranks}
    while running:
        ended = [running.pop(sentinel) for sentinel in connection.wait([*running], timeout=_SECONDS)]
        for rank in ended:
            rank.process.join()
        if not ended or any(rank.returncode for rank in ended):
            for other in running.values():
                other.kill()
    written = [rank.communicate() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors for _, errors in written)
    return "".join(out for out, _ in written)


def _start_server() -> None:
    """Start the process that others are forked off, if there is none; it reads the environment when it imports."""
    before = dict(os.environ)
    os.environ.update(_OFFLINE_ON_ONE_THREAD)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _of_rank(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells a rank of two on one machine."""
    return {
        **dict.fromkeys(("RANK", "LOCAL_RANK", "ROLE_RANK"), str(rank)),
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE"), "2"),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "forked",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }


def _run(arguments: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[Path]) -> None:
    """Become the program; called in the new process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    if arguments[0] == "-m":
        sys.argv = [*arguments[1:]]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [*arguments]
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")
