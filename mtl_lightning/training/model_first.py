"""What the model must have done before, or in spite of, what other callbacks do."""

from functools import partial
from inspect import signature
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelPruning
from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.training.pruned import forget_graphs, keep_originals
from mtl_lightning.training.restored import Restored, refuse_odd_counts, refuse_odd_state


class ModelFirst(Callback):
    """Stands before all other callbacks.

    Lightning calls a module's ``setup`` after that of the callbacks. One that copies, freezes or prunes the model there
    would miss the heads, which need the label names of the training data, so they are built here, when the data module
    has read its data and no other callback has seen the model.

    An evaluation is of the weights that a checkpoint holds for it. A callback that averages weights keeps those that
    train in the checkpoint, too, and puts them back whenever one is loaded; here they are replaced again.
    """

    def __init__(self) -> None:
        self._evaluated: dict[str, Any] | None = None
        self._restored: Restored | None = None

    @classmethod
    def install(cls, trainer: Trainer) -> None:
        """Puts one in front of the trainer's callbacks, unless there is one."""
        if not any(isinstance(callback, cls) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            trainer.callbacks = [cls(), *trainer.callbacks]  # type: ignore[attr-defined]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Builds the model."""
        self._evaluated = self._restored = None
        pl_module.make_whole()  # type: ignore[operator]
        forget_graphs(pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remembers the weights that are to be evaluated; when a run is resumed, arguments of callbacks take effect.

        Raises:
            UserError: If the checkpoint says where the run stands by what is no number.
        """
        refuse_odd_counts(checkpoint.get("loops", {}))
        if trainer.state.fn != TrainerFn.FITTING:
            self._evaluated = checkpoint["state_dict"]
            return
        self._restored = Restored()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            self._restored.watch(type(callback).__name__, partial(vars, callback))
            if not isinstance(callback, Checkpoint):
                _keep_arguments(callback, checkpoint["callbacks"].get(callback.state_key, {}))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks what was restored so far; optimizer and schedulers are there, and are restored next.

        Raises:
            UserError: If a callback was given something else than it had.
        """
        if self._restored is None:
            return
        self._restored.check()
        for number, group in enumerate(trainer.optimizers[0].param_groups if trainer.optimizers else ()):
            name = f"the optimizer's group '{group.get('name', number)}'"
            self._restored.watch(name, partial(_group, trainer.optimizers[0], number))
        for config in trainer.lr_scheduler_configs:
            self._restored.watch(type(config.scheduler).__name__, partial(vars, config.scheduler))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks them.

        Raises:
            UserError: If they were given something else than they had.
        """
        if self._restored is not None:
            self._restored.check()
            for optimizer in trainer.optimizers:
                refuse_odd_state(optimizer)
        self._restored = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets what was pruned, and set back to where it started, train alone."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ModelPruning):
                keep_originals(callback)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the checkpoint's weights."""
        self._put_back(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the checkpoint's weights."""
        self._put_back(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the checkpoint's weights."""
        self._put_back(pl_module)

    def _put_back(self, pl_module: LightningModule) -> None:
        if self._evaluated is not None:
            pl_module.load_state_dict(self._evaluated)
            self._evaluated = None


def _group(optimizer: Any, number: int) -> dict[str, Any]:
    group: dict[str, Any] = optimizer.param_groups[number]
    return group


def _keep_arguments(callback: Callback, state: dict[str, Any]) -> None:
    """Puts a callback's arguments (early stopping's patience) into a state that would replace them."""
    for name in signature(type(callback).__init__).parameters.keys() & state.keys():
        if hasattr(callback, name):
            state[name] = getattr(callback, name)
