"""What libraries do over and over to find nothing is left out of tests, and of the processes that they fork."""

from functools import cache
from importlib.metadata import entry_points

import lean_parsers
import torch
from lightning.fabric.utilities import registry
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric

for device in (torch.cuda, torch.mtia, torch.xpu):
    # torch.manual_seed formats the whole stack for each device that is absent
    if not device.is_available():
        for module in (device, getattr(device, "random", device)):
            module._lazy_call = lambda call, **options: None

# a trainer reads the metadata of all that is installed, in case a package adds callbacks
registry.entry_points = cache(entry_points)
registry._load_external_callbacks("lightning.pytorch.callbacks_factory")

_move = _ResultMetric.to


def _to(metric: _ResultMetric, device: torch.device | str, **options: bool) -> _ResultMetric:
    """Where there is but a CPU, what is logged is there already, and its attributes need not be walked through."""
    there = torch.device(device).type == "cpu" and not torch.cuda.is_available()
    return metric if there else _move(metric, device, **options)


_ResultMetric.to = _to  # type: ignore[method-assign]

lean_parsers.install()
