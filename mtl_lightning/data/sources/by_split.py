"""Paths that a configuration names for each split."""

from collections.abc import Iterable, Mapping

from mtl_lightning.data.sources.base import SPLITS
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.paths import expanded


def of_splits(key: str, paths: Mapping[str, str]) -> dict[str, str]:
    """The path of each split, expanded.

    Args:
        key: Where they stand.
        paths: By split.

    Raises:
        UserError: If there is no such split, or a path cannot be expanded.
    """
    check_splits(key, paths)
    return {name: expanded(path, f"{key}.{name}") for name, path in paths.items()}


def check_splits(key: str, names: Iterable[str]) -> None:
    """Raises :class:`UserError` if one of the keys under ``key`` is no split."""
    for name in names:
        if name not in SPLITS:
            raise UserError(f"`{key}` has the unknown split '{name}'; {did_you_mean(name, SPLITS)}")
