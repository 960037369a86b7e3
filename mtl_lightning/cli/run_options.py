"""The options of a command that are no argument of trainer, model or data."""

from typing import Literal

from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat
from lightning.pytorch.cli import LightningArgumentParser

from mtl_lightning.checkpoints import BestCheckpoint
from mtl_lightning.cli.parser import NumberQuestion, Question
from mtl_lightning.errors import UserError
from mtl_lightning.names import names_asked


def add_run_options(parser: LightningArgumentParser, command: str) -> None:
    """Adds them to the parser of a command."""
    _add_names(parser)
    _add_persistence(parser)
    parser.add_argument(
        "--trust_classes",
        type=list[str] | None,
        default=None,
        help="Classes or modules, separated by commas, that somebody else's checkpoint may import; given as a "
        "flag or in MTL_TRUST_CLASSES, never in a file. See SECURITY.md.",
    )
    if command == "fit":
        _add_questions(parser)
    _add_best_checkpoint(parser)


def _add_names(parser: LightningArgumentParser) -> None:
    """What a run is called, and where it is logged."""
    parser.add_argument("--name", type=str, default="run", help="Name of the run.")
    parser.add_argument("--project", type=str, default="mtl_lightning", help="Project in Weights & Biases.")
    parser.add_argument(
        "--wandb",
        type=Literal["auto", "online", "offline", "off"],
        default="auto",
        help="Log to Weights & Biases; auto: online when logged in, otherwise offline.",
    )
    parser.add_argument("--tensorboard", type=bool, default=False, help="Log to TensorBoard as well.")


def _add_persistence(parser: LightningArgumentParser) -> None:
    """What is saved when, and what happens to a run that is interrupted or hangs."""
    parser.add_argument(
        "--save_every_n_steps",
        type=int | None,
        default=None,
        help="Write last.ckpt every n optimizer steps too, not only after each epoch and when the run is stopped.",
    )
    parser.add_argument(
        "--requeue",
        type=Literal["auto", "never"],
        default="auto",
        help="Whether a job of SLURM that is warned of its time limit (SIGUSR1, SIGUSR2) or preempted (SIGTERM) is "
        "requeued, and resumes by itself.",
    )
    parser.add_argument(
        "--save_every_n_minutes", type=float | None, default=None, help="Write last.ckpt every n minutes too."
    )
    parser.add_argument(
        "--rank_timeout",
        type=PositiveFloat,
        default=1800.0,
        help="Seconds that one of several processes may keep the others waiting before the run ends and names it.",
    )


def _add_questions(parser: LightningArgumentParser) -> None:
    """What is answered instead of training."""
    parser.add_argument(
        "--print_model",
        action=Question,
        help="Print which parameters serve which tasks, and what a forward pass costs, and exit.",
    )
    parser.add_argument(
        "--plan_ranks",
        action=NumberQuestion,
        help="Print what each of so many processes would hold and send, and how long a step would take, and exit.",
    )


def _add_best_checkpoint(parser: LightningArgumentParser) -> None:
    parser.add_class_arguments(BestCheckpoint, "checkpoint")
    parser.set_defaults(
        {
            "checkpoint.monitor": "val/average",
            "checkpoint.mode": "max",
            "checkpoint.filename": "best",
            "checkpoint.auto_insert_metric_name": False,
            "checkpoint.enable_version_counter": False,
        }
    )


def refuse_odd_options(config: Namespace) -> None:
    """Refuses values that an option takes and that say nothing.

    Args:
        config: Of the command.

    Raises:
        UserError: Of the first such option.
    """
    for key in ("name", "ckpt_path", "json", "input", "output", "images"):
        if config.get(key) == "":
            raise UserError(f"{key} is empty; give one, or leave it out")
    if config["trust_classes"] is not None:
        raise UserError("trust_classes cannot be set in a configuration; give it as a flag, or set MTL_TRUST_CLASSES")
    for key in ("wandb", "tensorboard", "requeue", "evaluate"):
        if config.get(key, key) is None:
            raise UserError(f"{key} is null; give a value, or leave it out for its default")
    if config.get("tasks") is not None:
        names_asked("--tasks", config["tasks"], list(config["model"]["tasks"]))
