"""What a checkpoint holds, so that it suffices alone: configuration, labels and tokenizer."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.errors import UserError

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


def run_config(path: Path) -> dict[str, Any]:
    """The whole configuration of the run that wrote a checkpoint, as that run was given it."""
    config: dict[str, Any] = read_checkpoint(path)[CHECKPOINT_KEY]["config"]
    return config


def checkpoint_config(path: Path, stack: ExitStack) -> dict[str, Any]:
    """The configuration inside a checkpoint, with labels and tokenizer filled in.

    Args:
        path: The checkpoint.
        stack: Removes the temporary folder, in which the tokenizer's files are, when it closes.

    Returns:
        ``model``, ``data``, ``name`` and ``seed_everything``.
    """
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="mtl_lightning-")))
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    config = {
        key: saved["config"][key] for key in ("seed_everything", "name", "model", "data") if key in saved["config"]
    }
    for name, adapted in saved["tasks"].items():
        config["model"]["tasks"][name].setdefault("init_args", {}).update(adapted)
    for name, text in saved["assets"]["files"].items():
        (folder / Path(name).name).write_text(text, "utf-8")
    for name, value in saved["assets"]["init_args"].items():
        filled = value.replace("{folder}", str(folder)) if isinstance(value, str) else value
        config["model"]["encoder"].setdefault("init_args", {})[name] = filled
    return config
