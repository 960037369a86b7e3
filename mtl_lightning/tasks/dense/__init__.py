"""Tasks that label each pixel of an image, over feature maps."""

from mtl_lightning.tasks.dense.base import DenseTask
from mtl_lightning.tasks.dense.binary import DenseBinary
from mtl_lightning.tasks.dense.depth import DepthEstimation
from mtl_lightning.tasks.dense.normals import SurfaceNormals
from mtl_lightning.tasks.dense.segmentation import SemanticSegmentation

__all__ = ["DenseBinary", "DenseTask", "DepthEstimation", "SemanticSegmentation", "SurfaceNormals"]
