"""What a checkpoint holds of a model beside its parameters, so that it suffices alone."""

from collections.abc import Mapping
from typing import Any

from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Task


def model_contents(tasks: Mapping[str, Task], encoder: Encoder) -> dict[str, Any]:
    """What the tasks learnt from the data, such as label names, and the encoder's assets, such as its tokenizer."""
    assets = encoder.assets()
    return {
        "tasks": {name: task.adapted() for name, task in tasks.items()},
        "assets": {"files": dict(assets.files), "init_args": dict(assets.init_args)},
    }


def refuse_other_tasks(saved: Mapping[str, Any], tasks: Mapping[str, Task]) -> None:
    """Compares the tasks of a checkpoint with those of a model.

    Args:
        saved: What each task had learnt from the data.
        tasks: The model's.

    Raises:
        UserError: If they are others, or have other labels.
    """
    if list(saved) != list(tasks):
        raise UserError(f"the checkpoint's tasks are {', '.join(saved)}; the config's are {', '.join(tasks)}")
    for name, task in tasks.items():
        if saved[name] != task.adapted():
            raise UserError(f"model.tasks.{name}: the checkpoint was trained on {saved[name]}, not {task.adapted()}")
