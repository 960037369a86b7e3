"""LightningCLI with run folders, loggers and checkpoints that suffice alone."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from functools import partial
from typing import Any, cast

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from mtl_lightning.callbacks import BestScores, LastCheckpoint, ProgressLines, Throughput
from mtl_lightning.callbacks.careful_loggers import careful
from mtl_lightning.checkpoints import BestCheckpoint, find_checkpoint
from mtl_lightning.cli.auto_resume import own_checkpoint, resumes_itself
from mtl_lightning.cli.card import card
from mtl_lightning.cli.config_errors.nulls import refuse_null
from mtl_lightning.cli.config_paths import expand_paths
from mtl_lightning.cli.configuration.plain_yaml import dump_yaml
from mtl_lightning.cli.devices import check_strategy
from mtl_lightning.cli.ending import Ending
from mtl_lightning.cli.joining import joined, met, same_checkpoint, wait_for_all
from mtl_lightning.cli.launcher import Launcher
from mtl_lightning.cli.loggers import csv_logger, default_loggers
from mtl_lightning.cli.model_table import ModelTable, leave_nothing, wants_table
from mtl_lightning.cli.parser import is_class_default
from mtl_lightning.cli.progress import no_bar_can_be_seen
from mtl_lightning.cli.rank_plan import MOST, RankPlan, check_planned
from mtl_lightning.cli.run_folder import RunFolder
from mtl_lightning.cli.run_log import RunLog
from mtl_lightning.cli.run_options import add_run_options, refuse_odd_options
from mtl_lightning.cli.signal_connector import SignalConnector
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.cli.trainer_numbers import check_numbers
from mtl_lightning.cli.wandb_service import finish_wandb
from mtl_lightning.cli.watching import watch_processes
from mtl_lightning.errors import UserError
from mtl_lightning.names import checked_path
from mtl_lightning.terminal import quoted_path
from mtl_lightning.training.strategies import refuse_strategy_name
from mtl_lightning.trust.imports import Imports
from mtl_lightning.trust.parsing import guarded
from mtl_lightning.writing import temporary_folder


def start_of_run(config: Any, arguments: Sequence[str]) -> str:
    """The checkpoint that ``--init_from`` means.

    Raises:
        UserError: If there is none, or if the command line resumes a run as well.
    """
    given = str(config["init_from"])
    if not config.get("ckpt_path"):
        return str(find_checkpoint(given, config["name"], last=False, key="init_from"))
    if {"--init_from", "--ckpt_path"} <= {argument.split("=")[0] for argument in arguments}:
        raise UserError("--init_from starts a new run and --ckpt_path resumes one; give one of them")
    return given  # of a config, whose run has started from it long ago


class CLI(LightningCLI):
    """Adds run folders, loggers and checkpoints that suffice alone to LightningCLI.

    Args:
        stack: Gives the run's folder back when it closes.
        imports: What the configuration may import.
        ending: Is told of the run's folder.
        settings: Of LightningCLI.
    """

    def __init__(self, *classes: Any, stack: ExitStack, imports: Imports, ending: Ending, **settings: Any) -> None:
        self._stack = stack
        self._imports = imports
        self._ending = ending
        self._command = settings["args"]["command"]
        super().__init__(*classes, **settings)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The command that is run alone: parsers of the others would double the time that reading a config takes."""
        return {self._command: LightningCLI.subcommands()[self._command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what is not an argument of trainer, model or data."""
        add_run_options(parser, self._command)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Lets the parser read what files, variables and flags come to.

        Of a class that the configuration names, arguments are its own defaults where nobody gave them: the parser
        would keep those of the class that is there by default, as far as both have them.

        Args:
            parser: Of all commands.
            args: ``command``; its ``config``; ``questions``: flags that ask something.
        """
        self._given = deepcopy(args["config"])
        own, config = self._subcommand_parsers[args["command"]], args["config"]
        keys = [
            f"{section}.{key}"
            for section, values in config.items()
            for key, value in (values.items() if isinstance(values, dict) else ())
            if isinstance(value, str) or (isinstance(value, dict) and "class_path" in value)
        ]
        own.set_defaults({key: None for key in keys if is_class_default(own, key)})
        with guarded(self._imports):
            self.config = parser.parse_args([args["command"], "--config", dump_yaml(config), *args["questions"]])
        self._instead = _instead(own.asked)
        sections = {"model": self._model_class, "data": self._datamodule_class, "trainer": self.trainer_class}
        for section, cls in {**sections, "checkpoint": BestCheckpoint}.items():
            refuse_null(cls, self.config[args["command"]][section], section)
        expand_paths(self.config)

    def _parse_ckpt_path(self) -> None:
        """Leaves a checkpoint alone that nobody has looked at yet; ours hold their configuration elsewhere."""

    def before_instantiate_classes(self) -> None:
        """Meets the other processes, finds the checkpoint, and decides on the run's folder."""
        config = self.config[self.subcommand]
        refuse_odd_options(config)
        fitting = self.subcommand == "fit"
        alone = fitting and resumes_itself(config.get("ckpt_path"), config["requeue"] == "auto")
        self._processes = joined(self._ending, config["trainer"], os.environ)
        if config.get("ckpt_path") and not alone:
            config["ckpt_path"] = str(find_checkpoint(config["ckpt_path"], config["name"], last=fitting))
            sys.argv.append(f"--ckpt_path={config['ckpt_path']}")  # the same one in processes that Lightning starts
        if not fitting:
            self._take_only_checkpoint(config)
        elif self._instead:
            self._train_nothing(config)
        else:
            self._take_folder(config, alone)

    def _take_only_checkpoint(self, config: Namespace) -> None:
        """For a command that trains nothing and leaves no folder of a run."""
        if not config.get("ckpt_path"):
            raise UserError(f"{self.subcommand} needs `--ckpt_path`: a checkpoint, a run's folder, or `best`")
        self.save_config_callback = None
        self._meet()
        same_checkpoint(self._ending, config["ckpt_path"])

    def _train_nothing(self, config: Namespace) -> None:
        """For a question that is asked of the model: whatever it writes is gone at the end."""
        if isinstance(self._instead, RankPlan):
            check_planned(config["trainer"]["strategy"])
        self.run_dir, self.save_config_callback = self._stack.enter_context(temporary_folder()), None
        leave_nothing(config)

    def _take_folder(self, config: Namespace, alone: bool) -> None:
        """Takes the folder of a run, new or not, with all processes.

        Args:
            config: Of the command.
            alone: Whether the run resumes by itself, from what its folder holds.

        Raises:
            UserError: If the folder holds the checkpoints of another run.
        """
        if config.get("init_from") and not alone:
            config["init_from"] = start_of_run(config, sys.argv[1:])
        name = checked_path("name", config["name"], "runs")
        checkpoint = None if alone else config["ckpt_path"]
        shared = None if self._ending.first else self._meet()
        folder = RunFolder(name, config["trainer"]["default_root_dir"], checkpoint, again=alone, shared=shared)
        self._stack.callback(folder.release)
        if self._ending.first:
            self._meet(str(folder.path))
        folder.take_checkpoints(config["checkpoint"]["dirpath"])
        self.run_dir = folder.path
        self._ending.run_in(folder.path, config["requeue"] == "auto")
        if alone:
            config["ckpt_path"] = own_checkpoint(folder.path)
            if config.get("init_from") and not config["ckpt_path"]:
                config["init_from"] = start_of_run(config, ())
        same_checkpoint(self._ending, config.get("ckpt_path"))
        if not config.get("ckpt_path") and any(self.run_dir.glob("checkpoints/*.ckpt")):
            raise UserError(
                f"trainer.default_root_dir: {self.run_dir} holds the checkpoints of a run; name another folder, or "
                f"resume it with `--ckpt_path {quoted_path(self.run_dir)}`"
            )

    def _meet(self, folder: str | None = None) -> str | None:
        """Waits for the other processes, where something else has started them; returns the first one's folder."""
        strategy = self.config[self.subcommand]["trainer"]["strategy"]
        return met(self._ending, strategy, card(self._command, self._given), folder)

    def instantiate_classes(self) -> None:
        """Says in one line which argument a class refuses."""
        try:
            with guarded(self._imports):
                super().instantiate_classes()
        except (ValueError, MisconfigurationException) as error:
            raise error if isinstance(error, UserError) else UserError(str(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the run's folder, loggers and callbacks."""
        settings = self.config_init[self.subcommand]
        check_numbers(settings["trainer"])
        refuse_strategy_name(settings["trainer"]["strategy"])
        kwargs |= self._processes
        given = settings["trainer"]["logger"]
        if self.subcommand == "fit":
            kwargs["default_root_dir"] = str(self.run_dir)
            kwargs["logger"] = self._loggers(settings, given) or False
            chosen = settings["trainer"]["callbacks"] or []
            settings["trainer"]["callbacks"] = [
                *(chosen if isinstance(chosen, list) else [chosen]),
                *self._callbacks(settings, bool(kwargs["logger"])),
            ]
        else:
            kwargs |= {"logger": [careful(logger) for logger in _listed(given)] or False, "enable_checkpointing": False}
        if settings.get("output") == "-" or no_bar_can_be_seen(settings["trainer"]):
            kwargs["enable_progress_bar"] = False  # standard output is for the predictions, or nobody's
        trainer = cast(Trainer, super().instantiate_trainer(**kwargs))
        self._stack.callback(finish_wandb, trainer.loggers)
        check_strategy(trainer.strategy, trains=self.subcommand == "fit")
        watch = watch_processes(trainer, settings["rank_timeout"], self._ending.hints if self._ending.first else list)
        self._stack.callback(watch.stop)
        trainer._signal_connector = SignalConnector(trainer)
        if isinstance(started := trainer.strategy.launcher, _SubprocessScriptLauncher):
            launcher = Launcher(started.cluster_environment, started.num_processes, started.num_nodes)
            launcher.explain, launcher.hints = watch.explain, self._ending.hints
            launcher.gather = partial(wait_for_all, self._ending, settings["rank_timeout"])
            trainer.strategy._launcher = launcher
            self._stack.callback(launcher.wait)
        return trainer

    def _callbacks(self, settings: Any, logged: bool) -> list[Callback]:
        checkpoint: BestCheckpoint = settings["checkpoint"]
        callbacks: list[Callback] = [Throughput()]
        if self._instead or wants_table(settings["trainer"]):
            settings["trainer"]["enable_model_summary"] = False  # Lightning's
            callbacks.append(self._instead or ModelTable())
        if no_bar_can_be_seen(settings["trainer"]):
            callbacks.append(ProgressLines())
        if logged:
            callbacks += [LearningRateMonitor("step"), BestScores(checkpoint.monitor or "val/average", checkpoint.mode)]
        if settings["trainer"]["enable_checkpointing"] is not False:
            folder = str(self.run_dir / "checkpoints")
            checkpoint.dirpath = checkpoint.dirpath or folder
            due = settings["save_every_n_steps"], settings["save_every_n_minutes"]
            callbacks += [checkpoint, LastCheckpoint(folder, *due)]
        return callbacks

    def _loggers(self, settings: Any, given: Any) -> list[Logger]:
        if given is False:
            return []
        if given is None or given is True:
            loggers = default_loggers(
                self.run_dir,
                settings["name"],
                settings["project"],
                settings["wandb"],
                settings["tensorboard"],
                checkpoint=settings["ckpt_path"],
            )
        else:
            loggers = _listed(given)
            if not any(isinstance(logger, CSVLogger) for logger in loggers):
                loggers.insert(0, csv_logger(self.run_dir))
        return [logger if isinstance(logger, RunLog) else careful(logger) for logger in loggers]


def _instead(asked: Mapping[str, Any]) -> Callback | None:
    """What is to be printed instead of training.

    Raises:
        UserError: If a number of processes is none, or larger than can be planned.
    """
    if "plan_ranks" not in asked:
        return ModelTable(alone=True) if "print_model" in asked else None
    if not (number := str(asked["plan_ranks"])).isdecimal() or int(number) < 1:
        raise UserError(f"--plan_ranks: expected a number of processes, at least 1, found '{number}'")
    if int(number) > MOST:
        raise UserError(f"--plan_ranks: expected at most {MOST:,} processes, found '{number}'")
    return RankPlan(int(number))


def _listed(given: Any) -> list[Logger]:
    """The loggers that a configuration gives to the Trainer."""
    return given if isinstance(given, list) else [given] if isinstance(given, Logger) else []
