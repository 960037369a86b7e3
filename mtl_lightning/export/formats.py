"""The formats that there are."""

from mtl_lightning.checkpoints.exported import FORMAT
from mtl_lightning.export.format import Format
from mtl_lightning.export.torch_format import TorchFormat

FORMATS: dict[str, Format] = {FORMAT: TorchFormat()}
"""By the name that ``--format`` takes."""
