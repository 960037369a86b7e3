"""Models that ``export --format onnx`` wrote, without torch: what predicts with them, from Python and on the command
line.
"""

from mtl_lightning.exported.model import ExportedModel

__all__ = ["ExportedModel"]
