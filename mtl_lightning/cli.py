"""The commands, on LightningCLI."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger

from mtl_lightning import data, encoders, optim, sharing, tasks, weighting
from mtl_lightning.callbacks import Interrupted, LastCheckpoint, Throughput
from mtl_lightning.checkpoint import checkpoint_config, find_checkpoint
from mtl_lightning.checkpoint_io import CHECKPOINT_KEY
from mtl_lightning.config_errors import ParserError, one_line
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.errors import UserError
from mtl_lightning.loggers import csv_logger, default_loggers, finish_wandb
from mtl_lightning.module import MultiTaskModule
from mtl_lightning.trainer import Trainer

# Short class names in a config are looked up among what is imported.
PLUGINS = (data, encoders, optim, sharing, tasks, weighting)

DEMO = Path(__file__).with_name("demo.yaml")
RUN_DIR_VARIABLE = "MTL_LIGHTNING_RUN_DIR"


class Parser(LightningArgumentParser):
    """Says in one line what is wrong with the input."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises :class:`ParserError`, which is explained where the working directory is the user's own again."""
        if not any(action.dest in ("subcommand", "trainer") for action in self._actions):
            raise TypeError(message) from ex  # a parser of one class; the one above knows the whole configuration
        raise ParserError(message, self) from ex


class SaveConfig(SaveConfigCallback):
    """Keeps the whole resolved configuration: beside the checkpoints, in them, and with the loggers.

    Without ``ckpt_path``: or else the saved configuration of a run that went on would go on from there ever again.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **settings: Any) -> None:
        config = config.clone()
        config["ckpt_path"] = None
        super().__init__(parser, config, **settings)
        self._dumped: dict[str, Any] | None = None

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hands the configuration to the loggers."""
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams(self._plain())

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Adds the configuration to the checkpoint."""
        checkpoint.setdefault(CHECKPOINT_KEY, {})["config"] = self._plain()

    def _plain(self) -> dict[str, Any]:
        if self._dumped is None:
            self._dumped = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return deepcopy(self._dumped)


class CLI(LightningCLI):
    """Adds run folders, loggers and checkpoints that suffice alone to LightningCLI."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what is not an argument of trainer, model or data."""
        parser.add_argument("--name", type=str, default="run", help="Name of the run.")
        parser.add_argument("--project", type=str, default="mtl_lightning", help="Project in Weights & Biases.")
        parser.add_argument(
            "--wandb",
            type=Literal["auto", "online", "offline", "off"],
            default="auto",
            help="Log to Weights & Biases; auto: online when logged in, otherwise offline.",
        )
        parser.add_argument("--tensorboard", type=bool, default=False, help="Log to TensorBoard as well.")
        parser.add_argument(
            "--save_every_n_steps",
            type=int | None,
            default=None,
            help="Write last.ckpt every n optimizer steps too, not only after each epoch and when the run is stopped.",
        )
        parser.add_class_arguments(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.monitor": "val/average",
                "checkpoint.mode": "max",
                "checkpoint.filename": "best",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.enable_version_counter": False,
            }
        )

    def before_instantiate_classes(self) -> None:
        """Decides on the run's folder."""
        config = self.config[self.subcommand]
        fitting = self.subcommand == "fit"
        if config.get("ckpt_path"):
            config["ckpt_path"] = str(find_checkpoint(config["ckpt_path"], config["name"], last=fitting))
        if not fitting:
            if not config.get("ckpt_path"):
                raise UserError(f"{self.subcommand} needs `--ckpt_path`: a checkpoint, a run's folder, or `best`")
            self.save_config_callback = None
            return
        self.run_dir = run_directory(config["name"], config["trainer"]["default_root_dir"], config["ckpt_path"])
        if not config.get("ckpt_path") and any(self.run_dir.glob("checkpoints/*.ckpt")):
            raise UserError(
                f"trainer.default_root_dir: {self.run_dir} holds the checkpoints of a run; name another folder, or "
                f"go on from there with `--ckpt_path {self.run_dir}`"
            )
        os.environ[RUN_DIR_VARIABLE] = str(self.run_dir)

    def instantiate_classes(self) -> None:
        """Says in one line which argument a class refuses."""
        try:
            super().instantiate_classes()
        except (ValueError, MisconfigurationException) as error:
            raise error if isinstance(error, UserError) else UserError(str(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the run's folder, loggers and callbacks."""
        settings = self.config_init[self.subcommand]
        given = settings["trainer"]["logger"]
        if self.subcommand == "fit":
            kwargs["default_root_dir"] = str(self.run_dir)
            kwargs["logger"] = self._loggers(settings, given)
            settings["trainer"]["callbacks"] = [
                *(settings["trainer"]["callbacks"] or []),
                *self._callbacks(settings, bool(kwargs["logger"])),
            ]
        else:
            kwargs |= {"logger": given or False, "enable_checkpointing": False}
        if settings.get("output") == "-":
            kwargs["enable_progress_bar"] = False  # standard output is for the predictions
        return cast(Trainer, super().instantiate_trainer(**kwargs))

    def _callbacks(self, settings: Any, logged: bool) -> list[Callback]:
        checkpoint: ModelCheckpoint = settings["checkpoint"]
        callbacks: list[Callback] = [Throughput()]
        if logged:
            callbacks.append(LearningRateMonitor("step"))
        if settings["trainer"]["enable_checkpointing"] is not False:
            folder = str(self.run_dir / "checkpoints")
            checkpoint.dirpath = checkpoint.dirpath or folder
            callbacks += [checkpoint, LastCheckpoint(folder, settings["save_every_n_steps"])]
        return callbacks

    def _loggers(self, settings: Any, given: Any) -> list[Logger] | bool:
        if given is False:
            return False
        if given is None or given is True:
            return default_loggers(
                self.run_dir,
                settings["name"],
                settings["project"],
                settings["wandb"],
                settings["tensorboard"],
                goes_on=settings["ckpt_path"] is not None,
            )
        chosen = list(given) if isinstance(given, list) else [given]
        if not any(isinstance(logger, CSVLogger) for logger in chosen):
            chosen.insert(0, csv_logger(self.run_dir))
        return chosen


def run_directory(name: str, given: str | None, checkpoint: str | None) -> Path:
    """The folder of a run: the one given, that of the checkpoint it goes on from, or a new ``runs/<name>/<time>``.

    Processes that the first one starts find it in the environment.
    """
    if "LOCAL_RANK" in os.environ and RUN_DIR_VARIABLE in os.environ:
        return Path(os.environ[RUN_DIR_VARIABLE])
    if given is not None:
        return Path(given)
    if checkpoint is not None and Path(checkpoint).parent.name == "checkpoints":
        return Path(checkpoint).parent.parent
    if job := os.environ.get("SLURM_JOB_ID"):  # the same after a requeue, and for all its processes
        return Path("runs", name, f"slurm-{job}-{os.environ.get('SLURM_STEP_ID', '0')}")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (stamp if number == 1 else f"{stamp}-{number}" for number in count(1))
    return next(folder for folder in (Path("runs", name, n) for n in names) if not folder.exists())


def run(arguments: Sequence[str]) -> int:
    """Runs a command and prints a mistake in the input as one line.

    Args:
        arguments: The command and its options.

    Returns:
        The exit status.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`, callbacks")  # those of fit
    warnings.filterwarnings(
        "ignore", message="Checkpoint directory .* exists and is not empty"
    )  # only where it goes on
    warnings.filterwarnings("ignore", message="Experiment logs directory")  # older logs are kept under another name
    warnings.filterwarnings("ignore", message="Couldn't infer the batch indices")  # batches carry them
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # Lightning 2.6 calls names that go
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
    with ExitStack() as stack:
        stack.callback(finish_wandb)
        try:
            sys.argv[1:] = arguments
            sys.argv[1:] = with_base_config(list(arguments), stack)  # also what Lightning starts further processes with
            CLI(
                MultiTaskModule,
                MultiTaskDataModule,
                save_config_callback=SaveConfig,
                save_config_kwargs={"overwrite": True},
                trainer_class=Trainer,
                seed_everything_default=0,
                parser_class=Parser,
                parser_kwargs={"env_prefix": "MTL", "default_env": True, "allow_abbrev": False},
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        except (UserError, MisconfigurationException) as error:
            if os.environ.get("MTL_TRACEBACK"):
                raise
            print(f"error: {one_line(error, sys.argv[1:])}", file=sys.stderr)
            return 2
        except Interrupted as interrupted:
            return interrupted.code
    return 0


def with_base_config(arguments: list[str], stack: ExitStack) -> list[str]:
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
    return [command, "--config", str(checkpoint_config(path, stack)), *options]


def _option(name: str, options: Sequence[str]) -> str | None:
    for position, option in enumerate(options):
        if option == name and position + 1 < len(options):
            return options[position + 1]
        if option.startswith(f"{name}="):
            return option.split("=", 1)[1]
    return None
