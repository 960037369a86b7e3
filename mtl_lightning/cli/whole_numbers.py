"""A whole number stays one: `limit_val_batches: 1` is a batch, and `1.0` is all of them.

jsonargparse tries the types of a union in their order, and to `float` any number is one. What the order is depends on
chance: Python takes `Optional[Union[int, float]]` for the same as `Optional[Union[float, int]]`, and gives the one that
any library asked for first.
"""

import re
from functools import wraps
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse import _typehints

_WHOLE = re.compile(r"[+-]?[0-9]+")


@wraps(_typehints.adapt_typehints)
def _adapt(val: Any, typehint: Any, *args: Any, **kwargs: Any) -> Any:
    return int(val) if _is_whole(val) and _takes_both(typehint) else _adapt_typehints(val, typehint, *args, **kwargs)


def _is_whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and _WHOLE.fullmatch(value) is not None)


def _takes_both(hint: Any) -> bool:
    """Whether there is a union of whole and other numbers, and none of words before them."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    return {int, float} <= set(kinds) and (str not in kinds or kinds.index(str) > kinds.index(int))


_adapt_typehints = _typehints.adapt_typehints
_typehints.adapt_typehints = _adapt
