"""The direction of the surface at each pixel."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from mtl_lightning.decoding.pixels import NormalsDecoder
from mtl_lightning.tasks.dense.arrays import is_image, label_array
from mtl_lightning.tasks.dense.base import DenseTask
from mtl_lightning.tasks.dense.batch_means import Convention
from mtl_lightning.tasks.dense.decoders import Architecture
from mtl_lightning.tasks.dense.pixel_metrics import LIMITS, angle_metrics
from mtl_lightning.tasks.scoring import Catalogue

_SHORTEST, _SHORTEST_OF_IMAGES = 1e-6, 0.1


class SurfaceNormals(DenseTask):
    """Surface normals: a direction for each pixel, by 1 - cosine of the angle to the true one.

    A label is an array of vectors [H, W, 3], of any length but 0: pixels of zero or NaN have none. It may be a PNG:
    red, green and blue are x, y and z, 0 is -1 and 255 is 1; black, and a length below a tenth, is none.

    Metrics: ``mean_angle`` and ``median_angle`` (of the angle to the true direction, in degrees; better when lower),
    ``within_11_25``, ``within_22_5`` and ``within_30`` (share of pixels within so many degrees; better when higher).

    A prediction is ``{"normals": [[[x, y, z], …], …]}``, unit vectors.

    Args:
        main_metric: The metric that stands for the task; ``loss`` is one.
        architecture: Of the head, see :class:`DenseTask`.
        width: Channels inside the head.
        dropout: Before the head.
        metrics: What to report; null: all.
        convention: ``exact`` or ``batch_means``, see :class:`DenseTask`.
    """

    missing = math.nan
    usual_metrics: ClassVar[tuple[str, ...]] = ("mean_angle", "median_angle", *LIMITS)
    lower_is_better = frozenset({"mean_angle", "median_angle"})

    def __init__(
        self,
        main_metric: str = "mean_angle",
        architecture: Architecture = "fcn",
        width: int = 32,
        dropout: float = 0.0,
        metrics: list[str] | None = None,
        convention: Convention = "exact",
    ) -> None:
        super().__init__(main_metric, architecture, width, dropout, metrics, convention)

    def adapted(self) -> dict[str, Any]:
        return {"convention": self.convention}

    def encode(self, value: Any) -> np.ndarray | None:
        if self.is_missing(value):
            return None
        array = label_array(value, channels=3).astype(np.float32)
        array = np.where(np.isfinite(array).all(0), array, np.float32(0))
        length = np.sqrt(np.square(array).sum(0))
        unit = array / np.maximum(length, np.float32(_SHORTEST))
        shortest = _SHORTEST_OF_IMAGES if is_image(value) else _SHORTEST
        return np.where(length > shortest, unit, np.float32(math.nan))

    @staticmethod
    def moved(label: np.ndarray, zoom: float, mirrored: tuple[bool, bool]) -> np.ndarray:
        """What points to the right, points to the left in a mirrored image; so with up and down."""
        signs = np.array([-1 if changed else 1 for changed in (*mirrored, False)], label.dtype)
        turned: np.ndarray = label * signs[:, None, None]
        return turned

    @property
    def _channels(self) -> tuple[int, ...]:
        return (3,)

    @property
    def num_outputs(self) -> int:
        return 3

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        return 1 - cosine_similarity(logits, targets.nan_to_num(), dim=1)

    def catalogue(self) -> Catalogue:
        return angle_metrics()

    def compared(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return (angles(logits, targets),)

    def decoder(self) -> NormalsDecoder:
        return NormalsDecoder()

    def predicted(self, logits: Tensor) -> Tensor:
        return normalize(logits, dim=1)

    def coloured(self, values: np.ndarray, label: np.ndarray) -> np.ndarray:
        """x, y and z as red, green and blue."""
        return np.moveaxis((np.nan_to_num(values) + 1) * 127.5, 0, -1)

    def summary(self, target: Tensor) -> str:
        mean = ", ".join(f"{each:.2f}" for each in target.mean(0).tolist())
        return f"mean ({mean}); {len(target):,} pixels"


def angles(first: Tensor, second: Tensor) -> Tensor:
    """Angles between vectors [N, 3], in degrees [N]; by the arc tangent, which small ones are exact by.

    >>> angles(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]]))
    tensor([45.])
    """
    sine = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=1)
    return torch.rad2deg(torch.atan2(sine, (first * second).sum(1)))
