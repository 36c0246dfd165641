"""The trainer: Eq. 7 on the two branches and the ID projector, for SDXL and the miniature alike.

`prepare` turns pictures into shards, `data` reads them, `trainee` is what learns, `loss` is Eq. 7, `loop` ties them
together; `python -m realisid_core.training --help` is the way in.
"""

import os

import torch

from ..bootstrap import find_host

find_host()  # here, so that every process that is started to help finds it too
if "LOCAL_RANK" in os.environ and torch.accelerator.is_available():  # before the host looks at the GPU that is current
    torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]) % torch.accelerator.device_count())
