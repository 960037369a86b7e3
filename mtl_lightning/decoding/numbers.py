"""Numbers in their own unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_lightning.decoding.base import Arrays, Decoder, array_of


@dataclass(frozen=True)
class NumberDecoder(Decoder):
    """``value``, from standardised ``values`` [B]; in double precision, so that no digit is lost far from 0.

    Attributes:
        mean: Of the target.
        std: Its standard deviation.
    """

    mean: float
    std: float

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        with np.errstate(over="ignore"):  # what is beyond the largest number is infinite, and null in JSON
            values = array_of(arrays, "values").astype(np.float64) * self.std + self.mean
        return [{"value": value} for value in values.tolist()]
