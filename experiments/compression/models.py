"""What is compared: models that are trained, and the folders that they are exported to."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SCHEDULE = "experiments.compression.pruning.half_after_one_epoch"


class Row(NamedTuple):
    """A way to deploy.

    Attributes:
        run: Which of the trained models it is made of.
        folders: By name, the options of ``export`` for each folder that it needs; a checkpoint needs none.
    """

    run: str
    folders: Mapping[str, Sequence[str]]


def rows(tasks: Sequence[str]) -> dict[str, Row]:
    """All ways, by name.

    Args:
        tasks: Of the config.
    """
    int8, half = ("--int8", "true"), ("--half", "float16")
    alone = {f"full-{task}": ("--tasks", task) for task in tasks}
    return {
        "full, in torch": Row("full", {}),
        "full": Row("full", {"full": ()}),
        f"{len(tasks)} single models": Row("full", alone),
        "half precision": Row("full", {"half": half}),
        "int8": Row("full", {"int8": int8}),
        "pruned": Row("pruned", {"pruned": ()}),
        "distilled": Row("distilled", {"distilled": ()}),
        "distilled, int8": Row("distilled", {"distilled-int8": int8}),
    }


def flags_of(output: Path, layers: int, pruned_epochs: int) -> dict[str, list[str]]:
    """What ``fit`` is given for each trained model beside the config, by name, in the order of training.

    Args:
        output: Where the runs are.
        layers: Of the distilled model: the first ones of the pretrained encoder.
        pruned_epochs: Of the pruned model, which starts from the full one; half of the weights go after the first.
    """
    full = output / "runs" / "full"
    callback = "--trainer.callbacks"
    return {
        "full": [],
        "distilled": [
            f"--model.encoder.config={json.dumps({'num_hidden_layers': layers})}",
            "--model.encoder.frozen_layers=0",
            f"--init_from={full}",
            f"--model.distil.teacher={full}",
        ],
        "pruned": [
            f"--init_from={full}",
            f"--trainer.max_epochs={pruned_epochs}",
            f"--trainer.check_val_every_n_epoch={pruned_epochs}",
            f"{callback}+=ModelPruning",
            f"{callback}.pruning_fn=l1_unstructured",
            f"{callback}.parameter_names=[weight]",
            f"{callback}.amount={SCHEDULE}",
            f"{callback}.use_lottery_ticket_hypothesis=false",
        ],
    }


def train(name: str, output: Path, config: Path, flags: Sequence[str]) -> None:
    """Trains a model, or resumes where it was stopped, or leaves it as it is if it is trained."""
    run, done = output / "runs" / name, output / "runs" / f"{name}.done"
    if done.exists():
        return
    last = run / "checkpoints" / "last.ckpt"
    anew = [f"--config={config}", f"--trainer.default_root_dir={run}", "--evaluate=none", *flags]
    _command("fit", *([f"--ckpt_path={last}"] if last.exists() else anew))
    done.touch()


def checkpoint(name: str, output: Path) -> Path:
    """The one that counts: the best, or the last where there is none; of the pruned model the last, for another may be
    of the time before it was pruned.
    """
    folder = output / "runs" / name / "checkpoints"
    best = folder / "best.ckpt"
    return best if best.exists() and name != "pruned" else folder / "last.ckpt"


def export(name: str, run: str, output: Path, options: Sequence[str]) -> None:
    """Writes a folder, unless it is there: it appears whole or not at all."""
    folder = output / "exports" / name
    if not folder.exists():
        given = ["--ckpt_path", str(checkpoint(run, output)), "--format", "onnx", "--output", str(folder), *options]
        _command("export", *given, fails=(0, 1))  # 1: it differs by more than it may, which is what is to be seen


def _command(*arguments: str, fails: Sequence[int] = (0,)) -> None:
    command = [sys.executable, "-m", "mtl_lightning", *arguments]
    print(" ".join(command), flush=True)
    status = subprocess.run(command).returncode
    if status not in fails:
        sys.exit(status)
