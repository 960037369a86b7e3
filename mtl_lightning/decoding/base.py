"""What a decoder is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtl_lightning.errors import UserError

Array = NDArray[Any]
Arrays = Mapping[str, Array]
"""What a model computed of B examples, by name; each [B, ...]."""


class InputWords(Protocol):
    """Where the words of an input stand in it; :class:`mtl_lightning.inputs.words.Words` says so."""

    @property
    def words(self) -> Sequence[str]: ...

    @property
    def offsets(self) -> Sequence[tuple[int, int]]: ...

    @property
    def text(self) -> str | None: ...

    def excerpt(self, first: int, last: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Decoder(ABC):
    """Makes predictions of arrays; a task has one (``Task.decoder``), and an exported model has it as JSON.

    A subclass is a frozen dataclass in this folder. Its fields are texts, numbers, tuples of them, and arrays of
    numbers; what they may be is read from their annotations.
    """

    @abstractmethod
    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        """Predictions of B examples, each a JSON-like dict.

        Args:
            arrays: What the task's ``outputs`` names.

        Raises:
            UserError: If they are no such arrays.
        """

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        """One prediction beside its input; as it is by default.

        Args:
            decoded: What ``decode`` made of one example.
            words: All words of the input, also those that the encoder cut off.
        """
        return decoded

    def state(self) -> dict[str, Any]:
        """What :func:`decoder_of` makes it of again; JSON can hold it."""
        return {
            "decoder": type(self).__name__,
            **{each.name: _plain(getattr(self, each.name)) for each in fields(self)},
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return value.tolist() if isinstance(value, np.ndarray) else value


def array_of(arrays: Arrays, name: str, width: int | None = None) -> Array:
    """The array of a name, of numbers in float32 at least.

    Args:
        arrays: By name.
        name: Of one of them.
        width: Size of the last dimension that it must have; null: any.

    Raises:
        UserError: If there is no such array.
    """
    if name not in arrays:
        raise UserError(f"the model gives no '{name}', but {', '.join(arrays) or 'nothing'}; export it again")
    array = np.asarray(arrays[name])
    if width is not None and array.shape[-1] != width:
        raise UserError(
            f"the model gives {array.shape[-1]} of '{name}' where its decoder knows {width}; export it again"
        )
    return array.astype(np.float32) if array.dtype == np.float16 else array
