"""Runs a command."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mtl_lightning.callbacks import Interrupted
from mtl_lightning.cli.base_config import with_base_config
from mtl_lightning.cli.class_help import class_help
from mtl_lightning.cli.config_errors import one_line
from mtl_lightning.cli.configuration.given import Given, as_text, given
from mtl_lightning.cli.configuration.resolve import resolve
from mtl_lightning.cli.configuration.specs import refuse_odd_classes
from mtl_lightning.cli.configuration.variables import without_effect
from mtl_lightning.cli.lightning_cli import CLI
from mtl_lightning.cli.loggers import finish_wandb
from mtl_lightning.cli.parser import WORDS, Parser
from mtl_lightning.cli.quiet import quieten_libraries
from mtl_lightning.cli.save_config import SaveConfig
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports

COMMANDS = ("fit", "validate", "test", "predict")


def run(arguments: Sequence[str]) -> int:
    """Runs a command and prints a mistake in the input as one line.

    Args:
        arguments: The command and its options.

    Returns:
        The exit status.
    """
    assert PLUGINS, "short class names are looked up among what is imported"
    quieten_libraries()
    command, options = arguments[0], arguments[1:]
    found = Given(command, questions=("--help",))
    with ExitStack() as stack:
        stack.callback(finish_wandb)
        try:
            sys.argv[1:] = arguments  # what Lightning starts further processes with
            if (text := class_help(arguments)) is not None:
                print(text)
                return 0
            if not (help_all := "--help_all" in options):
                found = with_base_config(given(command, options, os.environ), stack)
                _forget_folder(found.imports)
            _run(found, help_all, stack)
        except Interrupted as interrupted:
            return interrupted.code
        except Exception as error:
            if os.environ.get("MTL_TRACEBACK") or (line := one_line(error, found)) is None:
                raise
            print(f"error: {line}", file=sys.stderr)
            return 2
    return 0


def _run(found: Given, help_all: bool, stack: ExitStack) -> None:
    CLI(
        MultiTaskModule,
        MultiTaskDataModule,
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        trainer_class=Trainer,
        seed_everything_default=0,
        parser_class=Parser,
        parser_kwargs={"env_prefix": "MTL", "default_env": help_all, "allow_abbrev": False, "parser_mode": WORDS},
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        args=_understood(found),
        stack=stack,
        imports=found.imports,
    )


def _forget_folder(imports: Imports) -> None:
    """Takes the working directory out of where modules are looked for, unless the configuration names some in it.

    Libraries look for packages that they can do without: a checkpoint could come with files of these names.
    """
    if not imports.may_be_in(Path.cwd()):
        sys.path[:] = [folder for folder in sys.path if folder not in ("", os.getcwd())]


def _understood(found: Given) -> dict[str, Any]:
    """What a command is to do, as :meth:`.CLI.parse_arguments` takes it; says what is lost on the way."""
    config, lost = resolve(found, as_text)
    refuse_odd_classes(config)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        for line in [*lost, *without_effect(found.command, COMMANDS, os.environ)]:
            print(f"note: {line}", file=sys.stderr)
    return {"command": found.command, "config": config, "questions": found.questions}
