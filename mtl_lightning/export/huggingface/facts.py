"""What is known of a trained model: from its checkpoint, and from nowhere else."""

import math
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.checkpoints import CHECKPOINT_KEY, read_checkpoint
from mtl_lightning.duration import duration
from mtl_lightning.export.huggingface.inputs import datasets_of, inputs_of
from mtl_lightning.training.module import MultiTaskModule

_SPLITS = {"test": "test", "val": "validation"}
_LIBRARIES = ("torch", "lightning", "transformers")


class Metric(NamedTuple):
    """A score in an evaluation.

    Attributes:
        task: Name of the task.
        name: Of the metric.
        shown: The name, and what it is of.
        value: A finite number.
        split: ``validation`` or ``test``.
        main: Whether it stands for the task.
    """

    task: str
    name: str
    shown: str
    value: float
    split: str
    main: bool


class Facts(NamedTuple):
    """What is known; null: it is not.

    Attributes:
        datasets: What each data set is, in words, by name.
        inputs: What each task reads, by task.
        sources: Names of the data sets that label each task, by task.
        metrics: As last measured when the checkpoint was written.
        training: What the model was trained with, in words: values by what they are.
        base_model: Name on the hub of the model that the encoder began from.
        versions: Of libraries, by name.
    """

    datasets: dict[str, str]
    inputs: dict[str, list[str]]
    sources: dict[str, list[str]]
    metrics: list[Metric]
    training: dict[str, str | None]
    base_model: str | None
    versions: dict[str, str]


def facts_of(model: MultiTaskModule, whole: MultiTaskModule, path: Path) -> Facts:
    """What is known of a model.

    Args:
        model: What is exported.
        whole: What the checkpoint holds.
        path: Of the checkpoint.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint[CHECKPOINT_KEY]["config"]
    sources = {task: list(datasets_of(config, task)) for task in model.tasks}
    datasets = {name: given for task in model.tasks for name, given in datasets_of(config, task).items()}
    classes = {name: _class_of(config["data"]["datasets"][name]) for name in datasets}
    return Facts(
        {name: f"{classes[name]}{_where(given)}" for name, given in datasets.items()},
        {task: sorted(inputs_of(config, task)) for task in model.tasks},
        sources,
        list(_metrics(model, checkpoint[CHECKPOINT_KEY].get("metrics", {}))),
        _training(checkpoint, config, whole),
        _base_model(config),
        {"mtl_lightning": version("mtl-lightning"), "Python": platform.python_version()}
        | {name: version(name) for name in _LIBRARIES},
    )


def seconds_in(checkpoint: Mapping[str, Any]) -> float | None:
    """Seconds that a run has trained; null: the checkpoint does not say."""
    found = checkpoint.get("callbacks", {}).get("TrainingTime")
    seconds = found.get("seconds") if isinstance(found, Mapping) else None
    return seconds if isinstance(seconds, int | float) else None


def _metrics(model: MultiTaskModule, logged: Mapping[str, float]) -> Iterator[Metric]:
    for name, task in model.tasks.items():
        for key, value in logged.items():
            stage, _, metric = key.partition(f"/{name}/")
            if stage in _SPLITS and metric and metric != "loss" and math.isfinite(value):
                yield Metric(name, metric, task.describe(metric), value, _SPLITS[stage], metric == task.main_metric)


def _training(checkpoint: Mapping[str, Any], config: Mapping[str, Any], whole: MultiTaskModule) -> dict[str, Any]:
    epoch, steps, seconds = checkpoint.get("epoch"), checkpoint.get("global_step"), seconds_in(checkpoint)
    made_of = checkpoint[CHECKPOINT_KEY].get("made_of", {})
    return {
        "Tasks trained together": ", ".join(whole.tasks),
        "Weighting": made_of.get("weighting") or type(whole.weighting).__name__,
        "Sharing": whole.merged_from or type(whole.sharing).__name__,
        "Optimizer": made_of.get("optimizer"),
        "Epochs": None if epoch is None else str(epoch + 1),
        "Optimizer steps": None if steps is None else f"{steps:,}",
        "Training time": None if seconds is None else duration(seconds),
        "Seed": None if config.get("seed_everything") is None else str(config["seed_everything"]),
    }


def _class_of(source: Mapping[str, Any]) -> str:
    return str(source.get("class_path", "")).rpartition(".")[2]


def _where(given: Mapping[str, Any]) -> str:
    """Where a data set is; of files the names alone, as folders may tell of people and machines."""
    if isinstance(given.get("path"), str):
        return f", {given['path']}" + (f" ({given['name']})" if given.get("name") else "")
    files = given.get("files")
    listed = list(files.values()) if isinstance(files, Mapping) else files if isinstance(files, list) else [files]
    names = [Path(file).name for entry in listed for file in (entry if isinstance(entry, list) else [entry]) if file]
    return f", files {', '.join(dict.fromkeys(names))}" if names else ""


def _base_model(config: Mapping[str, Any]) -> str | None:
    """Name on the hub of the encoder's model; null: it was built from scratch, or is a local folder."""
    given = config["model"]["encoder"].get("init_args") or {}
    name = given.get("model")
    if not isinstance(name, str) or not given.get("pretrained", True):
        return None
    return None if name.count("/") > 1 or name.startswith((".", "~", "/")) or Path(name).exists() else name
