"""Runs a command."""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

from lightning.fabric.utilities.exceptions import MisconfigurationException

from mtl_lightning.callbacks import Interrupted
from mtl_lightning.cli.base_config import with_base_config
from mtl_lightning.cli.class_help import class_help
from mtl_lightning.cli.config_errors import one_line
from mtl_lightning.cli.config_paths import expand_files
from mtl_lightning.cli.lightning_cli import CLI
from mtl_lightning.cli.loggers import finish_wandb
from mtl_lightning.cli.parser import WORDS, Parser
from mtl_lightning.cli.save_config import SaveConfig
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.errors import UserError
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.module import MultiTaskModule


def run(arguments: Sequence[str]) -> int:
    """Runs a command and prints a mistake in the input as one line.

    Args:
        arguments: The command and its options.

    Returns:
        The exit status.
    """
    assert PLUGINS, "short class names are looked up among what is imported"
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
            arguments = expand_files(arguments)
            if (text := class_help(arguments)) is not None:
                print(text)
                return 0
            sys.argv[1:] = with_base_config(arguments, stack)  # also what Lightning starts further processes with
            CLI(
                MultiTaskModule,
                MultiTaskDataModule,
                save_config_callback=SaveConfig,
                save_config_kwargs={"overwrite": True},
                trainer_class=Trainer,
                seed_everything_default=0,
                parser_class=Parser,
                parser_kwargs={"env_prefix": "MTL", "default_env": True, "allow_abbrev": False, "parser_mode": WORDS},
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
