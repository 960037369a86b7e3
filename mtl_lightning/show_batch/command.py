"""``python -m mtl_lightning show-batch``: from options to a step on the screen, and on a page."""

import os
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

from jsonargparse import Namespace

from mtl_lightning.cli.command import run as run_command_line
from mtl_lightning.cli.configuration.given import given, refuse_questions
from mtl_lightning.cli.devices import num_processes
from mtl_lightning.cli.lightning_cli import CLI
from mtl_lightning.cli.outputs import Output, check_output
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.one_step import one_step
from mtl_lightning.encoders.pretrained import without_weights
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import HardSharing
from mtl_lightning.show_batch.options import HELP, Options, parsed
from mtl_lightning.show_batch.page import page
from mtl_lightning.show_batch.screen import print_step
from mtl_lightning.show_batch.view import StepView
from mtl_lightning.show_batch.viewing import refuse_unknown, view
from mtl_lightning.terminal import say
from mtl_lightning.terminal.commands import run_command
from mtl_lightning.training.completion import complete_encoder
from mtl_lightning.training.heads import build_heads
from mtl_lightning.training.module import MultiTaskModule

_HARD = f"{HardSharing.__module__}.{HardSharing.__qualname__}"


def run(arguments: Sequence[str]) -> int:
    """Runs ``show-batch`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``show-batch``.

    Returns:
        The exit status: 0; 2 for a mistake in the input.
    """
    return run_command(arguments, HELP, partial(_run, arguments))


def _run(arguments: Sequence[str]) -> int:
    options, rest = parsed(arguments)
    refuse_questions("show-batch", given("fit", rest, os.environ))
    if options.html is not None:
        check_output(options.html, "--html")
    with without_weights():
        return run_command_line(["fit", *rest], partial(ShowCLI, options=options))


class ShowCLI(CLI):
    """Makes all that ``fit`` does, but for the weights, and shows a step instead of training.

    Args:
        options: What to show.
        settings: Of :class:`.CLI`.
    """

    def __init__(self, *classes: Any, options: Options, **settings: Any) -> None:
        self._options = options
        warnings.filterwarnings("ignore", "GPU available but not used")
        super().__init__(*classes, **settings)

    def before_instantiate_classes(self) -> None:
        """Stands for the first of the run's processes.

        Raises:
            UserError: If it is not alone.
        """
        if (world := self._ending.world) is not None and world.size > 1:
            raise UserError(f"show-batch needs one process, found {world.size}; leave {world.starter} out")
        trainer = self.config[self.subcommand]["trainer"]
        self._num_processes = num_processes(trainer)
        trainer["devices"] = trainer["num_nodes"] = 1
        super().before_instantiate_classes()

    def _take_folder(self, config: Namespace, alone: bool) -> None:
        """Takes none: batches are made on the host, and no sharing has weights to cut or to copy."""
        self._train_nothing(config)
        config["trainer"]["accelerator"], config["trainer"]["precision"] = "cpu", None
        config["model"]["sharing"] = Namespace(class_path=_HARD, init_args=Namespace())

    def _run_subcommand(self, subcommand: str) -> None:
        """Shows the step."""
        self.trainer.strategy.world_size = self._num_processes  # type: ignore[attr-defined]
        shown = step_view(self.trainer, self.model, self.datamodule, self._options)
        print_step(shown)
        if self._options.html is not None:
            output = Output(self._options.html, "--html")
            output.file.write(page(shown))
            output.finish()
            say(f"Page: {self._options.html}")


def step_view(trainer: Any, model: MultiTaskModule, data: MultiTaskDataModule, options: Options) -> StepView:
    """What a step of a run sees.

    Args:
        trainer: Of the run; its strategy counts the run's processes.
        model: Neither built nor trained; its tasks learn their labels from the data.
        data: Of the run.
        options: What to show.

    Raises:
        UserError: If there is no such step or data set, or the data or tasks have a mistake.
    """
    refuse_unknown(options.datasets, list(data.datasets))
    trainer.strategy.connect(model)
    model.trainer = data.trainer = trainer
    data.setup("fit")
    complete_encoder(model.encoder, model, data.training_inputs)
    build_heads(model.tasks, model.sharing.features, data.training_labels, model.chain)
    return view(one_step(data, options.step, options.examples), model, data, options)
