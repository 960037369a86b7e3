"""The formats that there are."""

from mtl_lightning.checkpoints.exported import FORMAT
from mtl_lightning.export.format import Format
from mtl_lightning.export.huggingface.format import HuggingFaceFormat
from mtl_lightning.export.torch_format import TorchFormat

FORMATS: dict[str, Format] = {FORMAT: TorchFormat(), "huggingface": HuggingFaceFormat()}
"""By the name that ``--format`` takes."""
