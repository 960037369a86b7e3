"""Which tensors of a checkpoint are kept apart from the rest of it, and where they belong."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any, NamedTuple

from torch import Tensor

from mtl_lightning.errors import UserError

_SECTIONS = ("state_dict", "optimizer_states")
_NOTHING = None  # in the place of a tensor that is kept apart


class Split(NamedTuple):
    """A checkpoint without some of its tensors, and these.

    Attributes:
        rest: The checkpoint with null in their places.
        tensors: By a name of their own: keys and numbers on the way to it, with dots between.
        places: Keys and numbers on the way, by the same name.
    """

    rest: dict[str, Any]
    tensors: dict[str, Tensor]
    places: dict[str, list[str | int]]


def take_apart(checkpoint: Mapping[str, Any], wanted: Callable[[Tensor], bool]) -> Split:
    """Takes tensors out of the states of the model and of the optimizers.

    Args:
        checkpoint: It stays as it is.
        wanted: Whether to take a tensor.

    >>> import torch
    >>> split = take_apart({"state_dict": {"a.b": torch.ones(1)}, "epoch": 1}, lambda tensor: True)
    >>> split.rest, split.places
    ({'state_dict': {'a.b': None}, 'epoch': 1}, {'state_dict.a.b': ['state_dict', 'a.b']})
    """
    split = Split(dict(checkpoint), {}, {})
    for section in _SECTIONS:
        if section in checkpoint:
            split.rest[section] = _without(checkpoint[section], wanted, [section], split)
    return split


def _without(value: Any, wanted: Callable[[Tensor], bool], place: list[str | int], split: Split) -> Any:
    if isinstance(value, Tensor):
        if not wanted(value):
            return value
        name = ".".join(map(str, place))
        if name in split.tensors:
            return value  # two ways are written alike: the second one stays
        split.tensors[name], split.places[name] = value, place
        return _NOTHING
    if not isinstance(value, dict | list):
        return value
    kept = copy(value)
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        kept[key] = _without(inner, wanted, [*place, key], split)
    return kept


def put_together(rest: Any, tensors: Mapping[str, Tensor], places: Mapping[str, list[str | int]]) -> None:
    """Puts tensors to where they were taken from.

    Args:
        rest: It is changed.
        tensors: By name.
        places: By the same name.

    Raises:
        UserError: If there is no such place; the message lacks the name of the file in front.
    """
    for name, place in places.items():
        inner = rest
        try:
            for key in place[:-1]:
                inner = inner[key]
            if place[0] not in _SECTIONS or inner[place[-1]] is not _NOTHING:
                raise KeyError(name)
            inner[place[-1]] = tensors[name]
        except (LookupError, TypeError) as error:
            raise UserError(f"is broken: it has no place for the tensor '{name[:80]}'") from error


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested dictionaries and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(inner)
