"""How commands end where there are several ranks."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def distributed_run() -> Iterator[None]:
    """Leave the process group, if one was made, when the block ends; a block that fails waits for no other rank."""
    yield
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
