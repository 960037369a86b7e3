"""Decoders from what JSON holds."""

from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from itertools import islice
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from mtl_lightning.decoding.answers import AnswerDecoder
from mtl_lightning.decoding.base import Decoder
from mtl_lightning.decoding.choices import ChoiceDecoder, RankingDecoder
from mtl_lightning.decoding.labels import LabelDecoder, LabelSetDecoder
from mtl_lightning.decoding.numbers import NumberDecoder
from mtl_lightning.decoding.pixels import ClassMapDecoder, DepthDecoder, MaskDecoder, NormalsDecoder
from mtl_lightning.decoding.relations import RelationDecoder
from mtl_lightning.decoding.tags import TagDecoder, WordLabelSetDecoder
from mtl_lightning.decoding.trees import TreeDecoder
from mtl_lightning.errors import UserError, did_you_mean, shown

T = TypeVar("T")

DECODERS: dict[str, type[Decoder]] = {
    decoder.__name__: decoder
    for decoder in (
        AnswerDecoder,
        ChoiceDecoder,
        ClassMapDecoder,
        DepthDecoder,
        LabelDecoder,
        LabelSetDecoder,
        MaskDecoder,
        NormalsDecoder,
        NumberDecoder,
        RankingDecoder,
        RelationDecoder,
        TagDecoder,
        TreeDecoder,
        WordLabelSetDecoder,
    )
}


def decoder_of(state: Mapping[str, Any]) -> Decoder:
    """The decoder that a state describes.

    Args:
        state: What :meth:`.Decoder.state` gave, also after JSON has held it.

    Raises:
        UserError: If its class is none of this package's, or its fields are not those of the class.

    >>> decoder_of({"decoder": "NumberDecoder", "mean": 1.0, "std": 2})
    NumberDecoder(mean=1.0, std=2.0)
    """
    name, given = state.get("decoder"), {key: value for key, value in state.items() if key != "decoder"}
    if not isinstance(name, str) or name not in DECODERS:
        raise UserError(f"unknown decoder {shown(name)}; {did_you_mean(str(name), DECODERS)}")
    return made(DECODERS[name], given)


def made(kind: type[T], given: Mapping[str, Any], *first: Any) -> T:
    """An object of a class of this package, from arguments that JSON has held.

    Args:
        kind: The class; its arguments are texts, numbers, tuples and sequences of them, and arrays of numbers.
        given: Arguments by name.
        first: Arguments that come before these, objects of the program's own.

    Raises:
        UserError: If one is missing, unknown or not what its annotation says.
    """
    known = dict(islice(signature(kind).parameters.items(), len(first), None))
    needed = {name for name, each in known.items() if each.default is Parameter.empty}
    name = kind.__name__
    if odd := sorted(given.keys() - known.keys()) or sorted(needed - given.keys()):
        raise UserError(f"{name} {'does not know' if odd[0] in given else 'needs'} the field {shown(odd[0])}")
    hints = get_type_hints(kind.__init__)
    return kind(*first, **{key: _field(f"`{key}` of {name}", value, hints[key]) for key, value in given.items()})


def _field(place: str, value: Any, hint: Any) -> Any:
    """The value of a field as its annotation has it."""
    found = _fitting(value, hint)
    if found is _UNFIT:
        wanted = hint.__name__ if isinstance(hint, type) else str(hint)
        raise UserError(f"{place}: expected {wanted}, found {shown(value)}")
    return found


_UNFIT = object()
_MOST = 2**31  # no number of tokens, places or channels is larger


def _fitting(value: Any, hint: Any) -> Any:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return next((found for found in (_fitting(value, each) for each in options) if found is not _UNFIT), _UNFIT)
    if origin is Literal:
        return value if any(type(value) is type(each) and value == each for each in options) else _UNFIT
    if origin in (tuple, Sequence):
        items = [_fitting(each, options[0]) for each in value] if isinstance(value, list | tuple) else [_UNFIT]
        return _UNFIT if any(each is _UNFIT for each in items) else tuple(items)
    if origin is np.ndarray:
        return _matrix(value)
    if hint is float:
        return float(value) if type(value) in (int, float) and isfinite(value) else _UNFIT
    if hint is int and type(value) is int:
        return value if abs(value) < _MOST else _UNFIT
    return value if hint in (str, bool, NoneType) and type(value) is hint else _UNFIT


def _matrix(value: Any) -> Any:
    """Numbers [N, M] in double precision, which hold those of a lower one as they are."""
    try:
        found = np.array(value)
    except ValueError:
        return _UNFIT
    return found.astype(np.float64) if found.ndim == 2 and found.dtype.kind in "if" else _UNFIT
