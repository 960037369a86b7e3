"""Lightning's callbacks that cannot work here, refused before anything is trained."""

from collections.abc import Iterable

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder, SpikeDetection

from mtl_lightning.errors import UserError

_REASONS: dict[type, str] = {
    LearningRateFinder: ("it follows one loss; set --model.optimizer.lr, or let `compare --tune N` search for it"),
    BatchSizeFinder: "a step has a batch of each data set; set data.batch_size (a number, or one for each data set)",
    SpikeDetection: (
        "Lightning 2.6 cannot restore it from a checkpoint; steps that are not finite are skipped and counted anyway "
        "(model.max_skipped)"
    ),
}


def refuse_callbacks(callbacks: Iterable[Callback]) -> None:
    """Refuses callbacks that assume one loss, one batch, or what Lightning does not keep.

    Raises:
        UserError: Of the first; it says what to use instead.
    """
    for callback in callbacks:
        for kind, reason in _REASONS.items():
            if isinstance(callback, kind):
                raise UserError(f"trainer.callbacks: {type(callback).__name__} does not work here: {reason}")
