"""Runs a command."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mtl_lightning.cli.base_config import with_base_config
from mtl_lightning.cli.class_help import class_help
from mtl_lightning.cli.config_errors import one_line
from mtl_lightning.cli.configuration.given import Given, as_text, given
from mtl_lightning.cli.configuration.resolve import resolve
from mtl_lightning.cli.configuration.specs import refuse_odd_classes, write_out_torch_names
from mtl_lightning.cli.configuration.variables import without_effect
from mtl_lightning.cli.ending import Ending
from mtl_lightning.cli.lightning_cli import CLI
from mtl_lightning.cli.parser import WORDS, Parser
from mtl_lightning.cli.precision import chosen_precision
from mtl_lightning.cli.quiet import keep_standard_output, quieten_libraries
from mtl_lightning.cli.save_config import SaveConfig
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.cli.world import complete, is_first, world
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.stopping import SIGNALS, Interrupted, death, peer_failure
from mtl_lightning.terminal import say
from mtl_lightning.terminal.logs import guard_terminal
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports

COMMANDS = ("fit", "validate", "test", "predict")


def run(arguments: Sequence[str], cli: Callable[..., Any] = CLI) -> int:
    """Runs a command and prints a mistake in the input as one line.

    Args:
        arguments: The command and its options.
        cli: What does it; arguments as of :class:`.CLI`.

    Returns:
        The exit status.
    """
    assert PLUGINS, "short class names are looked up among what is imported"
    guard_terminal()
    quieten_libraries()
    keep_standard_output()
    command, options = arguments[0], arguments[1:]
    found, ending = Given(command, questions=("--help",)), Ending()
    with ExitStack() as stack:
        stack.callback(ending.requeue)
        try:
            complete(os.environ)
            ending.begin(world(os.environ))
            sys.argv[1:] = arguments  # what Lightning starts further processes with
            if (text := class_help(arguments)) is not None:
                say(text)
                return 0
            if not (help_all := "--help_all" in options):
                found = with_base_config(given(command, options, os.environ), stack)
                _forget_folder(found.imports)
            _run(cli, found, help_all, stack, ending)
            SIGNALS.check()
        except Interrupted as stopped:
            return ending.of_stop(stopped)
        except Exception as error:
            if os.environ.get("MTL_TRACEBACK") or (status := _failed(error, found, ending)) is None:
                raise
            return status
    return 0


def _failed(error: Exception, found: Given, ending: Ending) -> int | None:
    """Says in one line what an error means; returns the exit status, or null where that is not known."""
    if SIGNALS.raised or (SIGNALS.received and death(error)):  # the others have stopped, too
        return ending.of_stop(Interrupted(128 + SIGNALS.received))
    if died := death(error):
        failure = peer_failure(error)
        if failure is None or not failure.said:
            ending.of_error(error, died)
        return 1
    if line := one_line(error, found):
        ending.of_error(error, line)
        return 2
    for hint in ending.hints():
        error.add_note(hint)
    return None


def _run(cli: Callable[..., Any], found: Given, help_all: bool, stack: ExitStack, ending: Ending) -> None:
    cli(
        MultiTaskModule,
        MultiTaskDataModule,
        save_config_callback=SaveConfig,
        trainer_class=Trainer,
        seed_everything_default=0,
        parser_class=Parser,
        parser_kwargs={"env_prefix": "MTL", "default_env": help_all, "allow_abbrev": False, "parser_mode": WORDS},
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        args=_understood(found),
        stack=stack,
        imports=found.imports,
        ending=ending,
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
    write_out_torch_names(config["model"])
    chosen_precision(config["trainer"])
    if is_first(os.environ):
        for line in [*lost, *without_effect(found.command, COMMANDS, os.environ)]:
            say(f"note: {line}", error=True)
    return {"command": found.command, "config": config, "questions": found.questions}
