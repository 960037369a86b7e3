"""The configuration that a command starts from."""

import os
from collections.abc import Sequence
from contextlib import ExitStack

from mtl_lightning.checkpoints import checkpoint_config, find_checkpoint
from mtl_lightning.demo import DEMO
from mtl_lightning.errors import UserError


def with_base_config(arguments: Sequence[str], stack: ExitStack) -> list[str]:
    """Puts the configuration that a command starts from before those that the user gave.

    Without a config, ``fit`` runs the demo, and the other commands take what is inside the checkpoint.
    """
    command, options = arguments[0], arguments[1:]
    if "--help_all" in options:
        return [command, "--help"]
    configured = any(o in ("--config", "-c") or o.startswith(("--config=", "-c=")) for o in options)
    if configured or os.environ.get(f"MTL_{command.upper()}__CONFIG"):
        return [command, *options]
    if command == "fit":
        return [command, "--config", str(DEMO), *options]
    checkpoint = _option("--ckpt_path", options)
    if checkpoint is None:
        raise UserError(f"{command} needs `--ckpt_path` (a checkpoint suffices alone), or `--config` as well")
    path = find_checkpoint(checkpoint, _option("--name", options) or "run", last=False)
    return [command, "--config", str(checkpoint_config(path, stack)), *options, "--ckpt_path", str(path)]


def _option(name: str, options: Sequence[str]) -> str | None:
    for position, option in enumerate(options):
        if option == name and position + 1 < len(options):
            return options[position + 1]
        if option.startswith(f"{name}="):
            return option.split("=", 1)[1]
    return None
