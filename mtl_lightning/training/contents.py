"""What a checkpoint holds of a model beside its parameters, so that it suffices alone."""

from collections.abc import Mapping
from typing import Any

from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks import Task
from mtl_lightning.trust.origin import signed


def model_contents(module: Any) -> dict[str, Any]:
    """What the tasks learnt from the data, the encoder's assets, such as its tokenizer, configuration and last metrics.

    It is signed, unless the configuration comes from a checkpoint that somebody else may have written.

    Args:
        module: The MultiTaskModule.
    """
    assets = module.encoder.assets()
    metrics = {} if module._trainer is None else module.trainer.callback_metrics
    config = {} if module.config is None else {"config": module.config}
    contents = config | {
        "tasks": {name: task.adapted() for name, task in module.tasks.items()},
        "assets": {"files": dict(assets.files), "init_args": dict(assets.init_args)},
        "metrics": {name: float(value) for name, value in metrics.items()},
    }
    return signed(contents, module.config_places) if module.config_is_own else contents


def refuse_other_tasks(saved: Mapping[str, Any], tasks: Mapping[str, Task]) -> None:
    """Compares the tasks of a checkpoint with those of a model.

    Args:
        saved: What each task had learnt from the data.
        tasks: The model's.

    Raises:
        UserError: If they are others, or have other labels.
    """
    if list(saved) != list(tasks):
        raise UserError(
            f"the checkpoint's tasks are {', '.join(saved)}; the config's are {', '.join(tasks)}: name the same, or "
            "start a new run from its weights with `fit --init_from`"
        )
    for name, task in tasks.items():
        was, now = saved[name], task.adapted()
        compared = [key for key in {**was, **now} if key not in Task.beside_labels]  # a metric may be another one
        if changed := [key for key in compared if was.get(key) != now.get(key)]:
            key = changed[0]
            raise UserError(
                f"model.tasks.{name}: the checkpoint was trained with `{key}` {shown(was.get(key))}, "
                f"not {shown(now.get(key))}"
            )


def refuse_other_inputs(saved: Mapping[str, str], encoder: Encoder) -> None:
    """Compares how the encoder of a checkpoint reads its inputs with how a model's does.

    Args:
        saved: Files of its assets.
        encoder: The model's.

    Raises:
        UserError: If the same input would be read differently.
    """
    if other := encoder.reads_differently(saved):
        raise UserError(
            f"model.encoder reads its inputs differently from the checkpoint's: {other}; give it the same data and "
            "files, or start a new run"
        )


def refuse_parameters_alone(checkpoint: Mapping[str, Any]) -> None:
    """Refuses to resume a run from what ``save_weights_only`` has left.

    Raises:
        UserError: If the checkpoint holds no state of an optimizer.
    """
    if "optimizer_states" not in checkpoint:
        raise UserError("ckpt_path: it holds the parameters alone; resume from last.ckpt, or start with --init_from")
