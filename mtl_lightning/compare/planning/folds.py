"""Folds of a cross-validation in place of seeds."""

from collections.abc import Mapping
from typing import Any

from mtl_lightning.compare.planning.configs import Config, class_path, get_value, set_value
from mtl_lightning.errors import UserError

_SPLIT = "FoldSplit"


def folded(config: Mapping[str, Any]) -> list[str]:
    """Names of the data sets that a config divides by folds."""
    datasets = get_value(config, "data.datasets") or {}
    named = {name: class_path(get_value({"d": dataset}, "d.split")) for name, dataset in datasets.items()}
    return [name for name, split in named.items() if (split or "").rsplit(".", 1)[-1] == _SPLIT]


def check_folds(config: Mapping[str, Any], num_folds: int) -> None:
    """Makes sure that there are folds to take.

    Args:
        config: That contestants change.
        num_folds: What ``--folds`` says.

    Raises:
        UserError: If no data set is divided by folds, or one by another number of them.
    """
    names = folded(config)
    if not names:
        some = next(iter(get_value(config, "data.datasets") or {"NAME": None}))
        raise UserError(
            f"folds: no data set has folds; give one a single file, and `--data.datasets.{some}.split {_SPLIT}`"
        )
    for name in names:
        given = get_value(config, f"data.datasets.{name}.split.num_folds")
        if given not in (None, num_folds):
            raise UserError(f"folds: {num_folds}, but data.datasets.{name}.split.num_folds is {given}; leave one out")


def take_fold(config: Config, num_folds: int, fold: int) -> None:
    """Makes a fold the test split, and the next one the validation split, of all data sets that have folds.

    Args:
        config: Of a run; changed in place.
        num_folds: K.
        fold: From 0.
    """
    for name in folded(config):
        for key, value in (("num_folds", num_folds), ("test", fold), ("val", None)):
            set_value(config, f"data.datasets.{name}.split.{key}", value)


def plan_line(config: Mapping[str, Any], num_folds: int) -> str:
    """What the plan says of them."""
    names = folded(config)
    others = [name for name in get_value(config, "data.datasets") if name not in names]
    keep = f"; {', '.join(others)} keeps its splits" if len(others) == 1 else f"; {', '.join(others)} keep their splits"
    return (
        f"{num_folds} folds of {', '.join(names)} in place of seeds: each is the test split of one run, "
        f"the next one its validation split{keep if others else ''}"
    )
