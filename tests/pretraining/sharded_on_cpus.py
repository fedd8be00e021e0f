"""Run `dnafm` with FSDP on CPUs, which torch can do and accelerate passes over in silence: it shards on GPUs only."""

import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType

from dnafm.cli.main import main

initialize = PartialState.__init__


def initialize_as_on_gpus(self, *args, **kwargs):
    """Set up gloo as ever, and then call the ranks those of GPUs."""
    initialize(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = initialize_as_on_gpus
sys.exit(main())
