"""The trainer under FSDP2 on processes of the CPU: accelerate itself shards on accelerators only."""

import os
import runpy

import accelerate.state
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

prepared = accelerate.state.AcceleratorState.__init__


def sharded(self, *args, **kwargs) -> None:
    fresh = not self.initialized
    prepared(self, *args, **kwargs)
    if fresh and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = kwargs.get("fsdp_plugin") or FullyShardedDataParallelPlugin()
        accelerate.state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP


accelerate.state.AcceleratorState.__init__ = sharded

if __name__ == "__main__":
    runpy.run_module("realisid_core.training", run_name="__main__")
