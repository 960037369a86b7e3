"""What a checkpoint must hold, and where: it may come from anybody."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.checkpoints.asset_files import are_asset_names, is_asset_name
from mtl_lightning.errors import UserError, shown

CHECKPOINT_KEY = "mtl_lightning"
"""Under which a checkpoint keeps what is ours."""

_SURROGATE = re.compile("[\ud800-\udfff]")  # letters that no file can hold
_DEPTH = 100
_VALUES = 10_000_000
_NUMBER = (int, float)
_EXECUTOR = {
    "weights": {str: _NUMBER},
    "age": int,
    "means": {"epoch": (int, type(None)), "sums": {str: Tensor}, "counts": {str: int}},
    "num_parameters?": (int, type(None)),
}
_DATA = {
    "scores": {str: [(str, int, float, type(None), list)]},
    "position": [int],
    "moment?": {"epoch": int, "scores": {str: [[object]]}},
    "plan?": {str: object},
    "stretches?": [{"num_replicas": int, "batch_sizes": {str: int}, "start": int, "stop": (int, type(None))}],
    "streams?": {str: object},
}
_OURS = {
    "tasks": {str: {str: object}},
    "assets": {"files": {str: str}, "init_args": {str: object}},
    "config?": {str: object},
    "metrics?": {str: _NUMBER},
    "executor?": _EXECUTOR,
    "seed?": (int, type(None)),
    "log?": {str: _NUMBER},
    "made_of?": {str: (str, type(None))},
    "optimizer?": {"options": {str: {str: object}}, "groups": [{"name": (str, type(None)), "params": [str]}]},
    "frozen?": {"at_start": [str], "now": [str]},
    "masks?": {str: Tensor},
}
_SHAPE = {
    "state_dict": {str: object},
    CHECKPOINT_KEY: _OURS,
    "global_step?": int,
    "callbacks?": {str: object},
    "loops?": {str: {str: object}},
    "MultiTaskDataModule?": _DATA,
    "optimizer_states?": [{"state": {int: {str: object}}, "param_groups": [{str: object}]}],
    "lr_schedulers?": [{str: object}],
}
_CONFIG = {
    "model": {"encoder": {str: object}, "tasks": {str: {str: object}}},
    "data": {str: object},
    "name?": str,
    "seed_everything?": (int, type(None)),
}


def check_shape(checkpoint: Any) -> None:
    """Makes sure that a checkpoint can be read without looking at each value: what is a mapping in it is one.

    Args:
        checkpoint: What a file held.

    Raises:
        UserError: If something else is there; the message says where, and lacks the name of the file in front.
    """
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise UserError("was not written by mtl_lightning")
    _measure(checkpoint, 0, {}, set())
    if wrong := next(_wrong(checkpoint), None):
        raise UserError(f"is not a checkpoint of mtl_lightning: {wrong}")


def kind_of(tensor: Tensor) -> str:
    """What a tensor holds, for messages; another precision is the same kind."""
    number = "complex" if tensor.is_complex() else "floating-point" if tensor.is_floating_point() else str(tensor.dtype)
    return f"{number} numbers" + ("" if tensor.layout is torch.strided else f" ({tensor.layout})")


def _wrong(checkpoint: dict[str, Any]) -> Iterator[str]:
    yield from _misfits(checkpoint, _SHAPE, "")
    yield from _no_tensors(checkpoint["state_dict"])
    ours = checkpoint[CHECKPOINT_KEY]
    for name, text in ours["assets"]["files"].items():
        if not is_asset_name(name) or _SURROGATE.search(text):
            yield f"{shown(name)} is not a text file"
    if not are_asset_names(ours["assets"]["files"]):
        yield "a file of its encoder has the name of a folder of others"
    for name, options in ours.get("optimizer", {"options": {}})["options"].items():
        yield from _misfits(options, {"lr?": _NUMBER}, f"{CHECKPOINT_KEY}.optimizer.options.{name[:80]}.")
        yield from _not_plain(options, f"{CHECKPOINT_KEY}.optimizer.options.{name[:80]}")
    if "config" in ours:
        yield from _misfits(ours["config"], _CONFIG, "config.")
        yield from _not_plain(ours["config"], "config")
        if missing := [name for name in ours["tasks"] if name not in ours["config"]["model"]["tasks"]]:
            yield f"its configuration has no task {shown(missing[0])}"


def _misfits(value: Any, shape: Any, path: str) -> Iterator[str]:
    """What is not as a shape has it: a type, ``[shape]``, ``{type of keys: shape}``, ``{"key": …, "optional?": …}``.

    Args:
        value: What is there.
        shape: What should be.
        path: Where, with a dot behind it.
    """
    if isinstance(shape, type | tuple):
        if not isinstance(value, shape):
            yield f"`{path.rstrip('.')}` is {shown(value)}"
    elif isinstance(shape, list):
        yield from _misfits(value, list, path)
        for number, item in enumerate(value if isinstance(value, list) else ()):
            yield from _misfits(item, shape[0], f"{path}{number}.")
    else:
        yield from _misfits(value, dict, path)
        yield from _misfits_of_keys(value, shape, path) if isinstance(value, dict) else ()


def _misfits_of_keys(value: dict[Any, Any], shape: Mapping[Any, Any], path: str) -> Iterator[str]:
    for key, inner in shape.items():
        if isinstance(key, type):
            for name, item in value.items():
                if not isinstance(name, key):
                    yield f"`{path.rstrip('.')}` has the key {shown(name)}"
                yield from _misfits(item, inner, f"{path}{str(name)[:80]}.")
        elif key.removesuffix("?") in value:
            yield from _misfits(value[key.removesuffix("?")], inner, f"{path}{key.removesuffix('?')}.")
        elif not key.endswith("?"):
            yield f"it has no `{path}{key}`"


def _no_tensors(state: Mapping[str, Any]) -> Iterator[str]:
    """Entries of a state that are no tensors with values; a module's extra state may be anything."""
    for name, value in state.items():
        if not name.endswith("_extra_state") and (not isinstance(value, Tensor) or value.is_meta):
            yield f"`state_dict` has no tensor at '{name[:80]}', but {shown(value)}"


def _not_plain(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None):
                yield f"`{path[:200]}` has the key {shown(key)}"
            yield from _not_plain(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _not_plain(item, f"{path}.{number}")
    elif not isinstance(value, str | int | float | None) or (isinstance(value, str) and _SURROGATE.search(value)):
        yield f"`{path[:200]}` is of the type {type(value).__name__}"


def _measure(value: Any, depth: int, known: dict[int, tuple[int, int]], open_: set[int]) -> tuple[int, int]:
    """How many values there are when shared ones are written out, and how deep they are nested; a few, or an error."""
    if not isinstance(value, dict | list | tuple | set):
        return 1, 0
    if id(value) in open_ or depth > _DEPTH:
        raise UserError("is not a checkpoint of mtl_lightning: it is nested without end")
    if set(getattr(value, "__dict__", ())) - {"_metadata"}:
        raise UserError("is not a checkpoint of mtl_lightning: a mapping in it has attributes")
    if id(value) not in known:
        open_.add(id(value))
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        sizes = [_measure(item, depth + 1, known, open_) for item in inner]
        known[id(value)] = 1 + sum(size for size, _ in sizes), 1 + max((height for _, height in sizes), default=0)
        open_.remove(id(value))
    if known[id(value)][0] > _VALUES or known[id(value)][1] > _DEPTH:
        raise UserError(
            f"is not a checkpoint of mtl_lightning: more than {_VALUES:,} values, or {_DEPTH} levels of them"
        )
    return known[id(value)]
