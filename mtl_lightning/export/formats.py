"""The formats that there are."""

from mtl_lightning.checkpoints.exported import FORMAT
from mtl_lightning.export.format import Format
from mtl_lightning.export.huggingface.format import HuggingFaceFormat
from mtl_lightning.export.onnx_format import OnnxFormat
from mtl_lightning.export.torch_format import TorchFormat
from mtl_lightning.exported.description import FORMAT as ONNX

FORMATS: dict[str, Format] = {FORMAT: TorchFormat(), ONNX: OnnxFormat(), "huggingface": HuggingFaceFormat()}
"""By the name that ``--format`` takes."""
