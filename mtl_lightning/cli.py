"""The commands, on LightningCLI."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mtl_lightning import data, encoders, optim, sharing, tasks, weighting
from mtl_lightning.callbacks import Throughput
from mtl_lightning.checkpoint import checkpoint_config, find_checkpoint
from mtl_lightning.config_errors import explain
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.errors import UserError
from mtl_lightning.loggers import default_loggers
from mtl_lightning.module import CHECKPOINT_KEY, MultiTaskModule
from mtl_lightning.trainer import Trainer

# Short class names in a config are looked up among what is imported.
PLUGINS = (data, encoders, optim, sharing, tasks, weighting)

DEMO = Path(__file__).with_name("demo.yaml")
RUN_DIR_VARIABLE = "MTL_LIGHTNING_RUN_DIR"


class Parser(LightningArgumentParser):
    """Says in one line what is wrong with the input."""

    def error(self, message: str, ex: Exception | None = None) -> None:  # type: ignore[override]
        """Raises what is wrong as :class:`UserError`."""
        raise UserError(explain(message, sys.argv[1:] if ARGUMENTS is None else ARGUMENTS, self)) from ex


ARGUMENTS: list[str] | None = None


class SaveConfig(SaveConfigCallback):
    """Keeps the whole resolved configuration: beside the checkpoints, in them, and with the loggers."""

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hands the configuration to the loggers."""
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams(self._plain())

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Adds the configuration to the checkpoint."""
        checkpoint.setdefault(CHECKPOINT_KEY, {})["config"] = self._plain()

    def _plain(self) -> dict[str, Any]:
        dumped: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return dumped


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
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.monitor": "val/average",
                "checkpoint.mode": "max",
                "checkpoint.filename": "best",
                "checkpoint.save_last": True,
                "checkpoint.auto_insert_metric_name": False,
            }
        )

    def before_instantiate_classes(self) -> None:
        """Decides on the run's folder."""
        config = self.config[self.subcommand]
        fitting = self.subcommand == "fit"
        if config.get("ckpt_path"):
            config["ckpt_path"] = str(find_checkpoint(config["ckpt_path"], config["name"], last=fitting))
        if not fitting:
            self.save_config_callback = None
            return
        self.run_dir = run_directory(config["name"], config["trainer"]["default_root_dir"], config["ckpt_path"])
        os.environ[RUN_DIR_VARIABLE] = str(self.run_dir)


    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the run's folder, loggers and callbacks."""
        settings = self.config_init[self.subcommand]
        given = settings["trainer"]["logger"]
        if self.subcommand == "fit":
            kwargs["default_root_dir"] = str(self.run_dir)
            kwargs["logger"] = self._loggers(settings, given)
            checkpoint = settings["checkpoint"]
            checkpoint.dirpath = checkpoint.dirpath or str(self.run_dir / "checkpoints")
            callbacks = [Throughput()]
            if kwargs["logger"]:
                callbacks.append(LearningRateMonitor("step"))
            settings["trainer"]["callbacks"] = [*(settings["trainer"]["callbacks"] or []), *callbacks]
        elif given is None:
            kwargs["logger"] = False
        trainer: Trainer = super().instantiate_trainer(**kwargs)
        return trainer

    def _loggers(self, settings: Any, given: Any) -> list[Logger] | bool:
        if given is False:
            return False
        if given is None or given is True:
            return default_loggers(
                self.run_dir, settings["name"], settings["project"], settings["wandb"], settings["tensorboard"]
            )
        chosen = list(given) if isinstance(given, list) else [given]
        if not any(isinstance(logger, CSVLogger) for logger in chosen):
            chosen.append(CSVLogger(self.run_dir, name="", version=""))
        return chosen


def run_directory(name: str, given: str | None, checkpoint: str | None) -> Path:
    """The folder of a run: the one given, that of the checkpoint it goes on from, or a new ``runs/<name>/<time>``.

    Processes that the first one starts find it in the environment.
    """
    if inherited := os.environ.get(RUN_DIR_VARIABLE):
        if rank_zero_only.rank != 0 or "LOCAL_RANK" in os.environ:
            return Path(inherited)
    if given is not None:
        return Path(given)
    if checkpoint is not None and Path(checkpoint).parent.name == "checkpoints":
        return Path(checkpoint).parent.parent
    stamp = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID") or time.strftime("%Y%m%d-%H%M%S")
    folder = Path("runs", name, stamp)
    number = 2
    while folder.exists() and stamp.count("-") == 1:
        folder = Path("runs", name, f"{stamp}-{number}")
        number += 1
    return folder


def run(arguments: Sequence[str]) -> int:
    """Runs a command and prints a mistake in the input as one line.

    Args:
        arguments: The command and its options.

    Returns:
        The exit status.
    """
    global ARGUMENTS
    with ExitStack() as stack:
        try:
            ARGUMENTS = with_base_config(list(arguments), stack)
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
                args=ARGUMENTS,
            )
        except UserError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
    return 0


def with_base_config(arguments: list[str], stack: ExitStack) -> list[str]:
    """Puts the configuration that a command starts from before those that the user gave.

    Without a config, ``fit`` runs the demo, and the other commands take what is inside the checkpoint.
    """
    command, options = arguments[0], arguments[1:]
    options = ["--help" if option == "--help_all" else option for option in options]
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
