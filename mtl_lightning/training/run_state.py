"""What a checkpoint holds of a run beside parameters and optimizer, and how a run takes it up again."""

from typing import Any

from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.checkpoints.io import CHECKPOINT_KEY
from mtl_lightning.training.contents import (
    model_contents,
    refuse_other_inputs,
    refuse_other_tasks,
    refuse_parameters_alone,
)
from mtl_lightning.training.pruned import masks_of, put_masks
from mtl_lightning.training.restorable import choose_weights


def add_run_state(module: Any, checkpoint: dict[str, Any]) -> None:
    """Adds what a checkpoint needs to suffice alone: what tasks learnt from the data, and the encoder's assets.

    Args:
        module: The MultiTaskModule.
        checkpoint: Of its run.
    """
    held = {} if module._executor is None else {"executor": module._executor.state_dict()}
    held |= {"seed": module._seed, "log": module._log.state_dict()} | module._trained.state_dict(module)
    held |= module.supervision.identities()
    if masks := {name: mask for name, mask in masks_of(module).items() if name in checkpoint["state_dict"]}:
        held["masks"] = masks  # of weights that ModelPruning has made permanent in the checkpoint, and not in the run
    checkpoint.setdefault(CHECKPOINT_KEY, {}).update(model_contents(module) | held)


def take_up(module: Any, checkpoint: dict[str, Any]) -> None:
    """Takes up where a checkpoint stands.

    Args:
        module: The MultiTaskModule.
        checkpoint: Of its run.

    Raises:
        UserError: If it is that of another model.
    """
    saved = checkpoint[CHECKPOINT_KEY]
    refuse_other_tasks(saved["tasks"], module.tasks)
    refuse_other_inputs(saved["assets"]["files"], module.encoder)
    if module.trainer.state.fn == TrainerFn.FITTING:
        refuse_parameters_alone(checkpoint)
        module._trained.load_state_dict(module, saved)
        module.supervision.compare(saved)
        choose_weights(checkpoint, module.trainer.callbacks)
        put_masks(checkpoint["state_dict"], saved.get("masks", {}))
    if module._executor is not None and "executor" in saved:
        module._executor.load_state_dict(saved["executor"])
    module._seed = saved.get("seed")
    module._log.load_state_dict(saved.get("log", {}))
    module._metrics = dict(saved.get("metrics", {}))
