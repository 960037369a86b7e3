"""What a checkpoint holds, so that it suffices alone: configuration, labels and tokenizer."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.checkpoints.asset_files import filled_in, take_arguments, write_assets
from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.errors import UserError
from mtl_lightning.trust.origin import own_places
from mtl_lightning.writing import temporary_folder

_TAKEN = ("seed_everything", "name", "model", "data")
"""What evaluation and prediction take of a configuration."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint of this project.

    Raises:
        UserError: If it is broken or foreign.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    if "config" not in checkpoint[CHECKPOINT_KEY]:
        raise UserError(f"{path} was saved without its configuration (by a script, not by `fit`); give `--config` too")
    return checkpoint


class Found(NamedTuple):
    """The configuration inside a checkpoint.

    Attributes:
        config: All of it.
        places: Where the packages were that it names, if the user's own run wrote it; see :func:`.own_places`.
    """

    config: dict[str, Any]
    places: dict[str, str] | None


def wandb_id_in(path: Path) -> str | None:
    """The id of the run of Weights & Biases that wrote a checkpoint; null: there was none.

    Raises:
        UserError: If it is broken or foreign.
    """
    states = AtomicCheckpointIO().load_checkpoint(path).get("callbacks", {})
    found = [state.get("wandb_id") for state in states.values() if isinstance(state, dict)]
    return next((name for name in found if isinstance(name, str) and re.fullmatch(r"[\w-]{1,128}", name)), None)


def run_config(path: Path) -> Found:
    """The whole configuration of the run that wrote a checkpoint, as that run was given it."""
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    return Found(saved["config"], own_places(saved))


def checkpoint_config(path: Path, stack: ExitStack) -> Found:
    """The configuration inside a checkpoint, with labels and tokenizer filled in, as far as a model predicts with it.

    Optimizer, scheduler and teachers are left out: a model whose optimizer is not installed here predicts as well.

    Args:
        path: The checkpoint.
        stack: Removes the temporary folder, in which the tokenizer's files are, when it closes.

    Returns:
        ``model``, ``data``, ``name`` and ``seed_everything``.
    """
    folder = stack.enter_context(temporary_folder())
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    places = own_places(saved)
    config = {key: saved["config"][key] for key in _TAKEN if key in saved["config"]}
    for name in ("optimizer", "lr_scheduler", "distil"):
        config["model"].pop(name, None)
    for name, adapted in saved["tasks"].items():
        config["model"]["tasks"][name].setdefault("init_args", {}).update(adapted)
    write_assets(saved["assets"]["files"], folder)
    arguments = filled_in(saved["assets"]["init_args"], folder)
    take_arguments(config["model"]["encoder"].setdefault("init_args", {}), arguments)
    return Found(config, places)
