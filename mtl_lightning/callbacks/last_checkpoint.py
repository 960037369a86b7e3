"""The checkpoint to resume from."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import WandbLogger

from mtl_lightning.backward.processes import Agreement
from mtl_lightning.callbacks.save_clock import SaveClock
from mtl_lightning.callbacks.weight_sizes import weight_sizes
from mtl_lightning.checkpoints.background import background
from mtl_lightning.data.position import Position, position, put_position
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import SIGNALS, Interrupted
from mtl_lightning.terminal import quoted_path, say
from mtl_lightning.writing import Place


class LastCheckpoint(Checkpoint):
    """Writes ``last.ckpt``, from which a run resumes as if it had never been stopped.

    It is written between two steps, when everything that belongs to the one before is done (validation, learning rate,
    epoch hooks): after each epoch, every ``every_n_steps`` optimizer steps, ``every_n_minutes`` minutes after the one
    before, when training ends, and when the run is asked to stop by Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2, which
    it does after the step or the validation under way (on all processes after the same one).
    Lightning's ``ModelCheckpoint(save_last=True)`` saves in the middle of such things, and some are then done twice or
    never.

    Callbacks that change the weights for good when training ends (stochastic weight averaging) do so after that; what
    they have made is written beside it as ``final.ckpt``.

    Args:
        folder: Where to write; null: ``checkpoints`` in the trainer's ``default_root_dir``.
        every_n_steps: Optimizer steps between two checkpoints within an epoch; null: none.
        every_n_minutes: Minutes between two checkpoints, by the first process's clock; null: any.

    Raises:
        Interrupted: When the run was asked to stop.
        CannotWriteError: When it cannot be written, or the run's folder was removed; then it is written all the same.
    """

    def __init__(
        self, folder: str | None = None, every_n_steps: int | None = None, every_n_minutes: float | None = None
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise UserError(f"`every_n_steps` must be at least 1, found {every_n_steps}")
        self.folder = folder
        self.every_n_steps = every_n_steps
        self._clock = SaveClock(every_n_minutes)
        self._listening = ExitStack()
        self._agreement: Agreement | None = None
        self._saving: Position | None = None
        self._steps_follow = False
        self.saved_step = 0
        self._logged = 0
        self._wandb_id: str | None = None
        self._restored: int | None = None
        self._saved_weights: dict[str, str] | None = None
        self._place: Place | None = None

    def path(self, trainer: Trainer) -> Path:
        """Of the checkpoint."""
        return Path(self.folder or Path(trainer.default_root_dir, "checkpoints"), "last.ckpt")

    # -- when to save ------------------------------------------------------------------------------------------------
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Sees to it that the end is saved before other callbacks change the model for good, by averaging say."""
        others = [c for c in trainer.callbacks if not isinstance(c, _BeforeOthers)]  # type: ignore[attr-defined]
        trainer.callbacks = [_BeforeOthers(self), *others]  # type: ignore[attr-defined]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listens for signals, and puts off what they ask for."""
        SIGNALS.check()
        self.saved_step = trainer.global_step
        self._place = Place(trainer.default_root_dir)
        self._agreement = Agreement()
        self._clock.start()
        self._listening.enter_context(SIGNALS.listening())
        self._listening.enter_context(SIGNALS.deferred("Stopping after this step, with a checkpoint"))

    def before_batch(self, trainer: Trainer, batch_idx: int) -> None:
        """Saves in mid-epoch, and stops if asked to."""
        if self._restored is not None:
            # Lightning counts one step too many after some validations, and would pass over schedulers of metrics.
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._restored
            trainer.fit_loop._restarting = False
            self._restored = None
        if batch_idx % trainer.accumulate_grad_batches:
            return  # the gradients of a step that is under way are not saved
        if (io := background(trainer)) is not None:
            io.check()
        assert self._agreement is not None
        if number := self._agreement.exchange(SIGNALS.received):
            self._stop(trainer, number)
        overdue = self._clock.is_due()
        if overdue or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self.save(trainer, steps_follow=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the weights that other callbacks have made of those at the end, if they have, as ``final.ckpt``."""
        if self._weights_changed(trainer):
            path = self.path(trainer).with_name("final.ckpt")
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                say(f"Callbacks changed the weights when training ended; those are in {path}")
        assert self._agreement is not None
        if (io := background(trainer)) is not None:
            io.wait()
        self._agreement.exchange(SIGNALS.received)
        if number := self._agreement.exchange(SIGNALS.received):
            self._stop(trainer, number)
        self._stop_listening()

    def _weights_changed(self, trainer: Trainer) -> bool:
        """Whether they are others than in the checkpoint of the end, on the first process, which may know alone."""
        if self._saved_weights is None:
            return False
        changed = self._saved_weights != weight_sizes(trainer.strategy.lightning_module_state_dict())
        return trainer.strategy.broadcast(changed)

    def _stop(self, trainer: Trainer, number: int) -> NoReturn:
        self.save(trainer, steps_follow=True)
        if (io := background(trainer)) is not None:
            io.wait()
        if not trainer.is_global_zero:
            raise Interrupted(0, said=True)
        path = self.path(trainer)
        how = (
            f"; resume with --ckpt_path {quoted_path(path)}" if path.exists() else ", before there was anything to save"
        )
        say(f"Stopped after step {trainer.global_step}{how}", error=True)
        raise Interrupted(128 + number, said=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves the signals to those who had them before."""
        self._stop_listening()

    def _stop_listening(self) -> None:
        with suppress(Interrupted):  # which stops already
            self._listening.close()

    # -- how to save -------------------------------------------------------------------------------------------------
    def save(self, trainer: Trainer, steps_follow: bool = False) -> None:
        """Saves, unless no step was made since.

        Args:
            trainer: Lightning's.
            steps_follow: Whether training does not end here: then no callback changes these weights for good.
        """
        if trainer.global_step == self.saved_step or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self.saved_step = trainer.global_step
        self._saving, self._steps_follow = position(trainer), steps_follow
        self._logged = trainer.fit_loop.epoch_loop._batches_that_stepped
        self._wandb_id = next((logger.version for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)
        path = self.path(trainer)
        try:
            trainer.save_checkpoint(path, weights_only=False)
        finally:
            self._saving = None
        self._clock.restart()
        if self._place is not None:
            self._place.check(f"what was trained is saved there again: resume with --ckpt_path {quoted_path(path)}")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts Lightning's progress, if the checkpoint is ours, to where all is done and the next batch is due."""
        if self._saving is not None:
            self._saved_weights = None if self._steps_follow else weight_sizes(checkpoint["state_dict"])
            put_position(checkpoint["loops"]["fit_loop"], self._saving)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: how many steps were logged, and as which run in Weights & Biases."""
        return {} if self._saving is None else {"logged_steps": self._logged, "wandb_id": self._wandb_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._restored = state_dict["logged_steps"]


class _BeforeOthers(Callback):
    """Saves what was trained before any other callback is told of the next batch or epoch, or of the end."""

    def __init__(self, checkpoint: LastCheckpoint) -> None:
        self._checkpoint = checkpoint

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._checkpoint.save(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._checkpoint.before_batch(trainer, batch_idx)  # nothing is logged of a step that is not made

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fit_loop._skip_backward:  # nothing was trained: statistics for averaged weights were gathered
            self._checkpoint.saved_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._checkpoint.save(trainer)
