"""Where in its data a run stands."""

from typing import Any, NamedTuple


class Position(NamedTuple):
    """Where the next batch comes from.

    Attributes:
        epoch: Number of the epoch, from 0.
        batch: Number of the batch in it, from 0.
    """

    epoch: int
    batch: int


def position(trainer: Any) -> Position:
    """What a trainer trains on next. An epoch that the end of the run cut short is not over.

    Args:
        trainer: Lightning's, in any hook of ``fit`` but those between the start of an optimizer step and its end.
    """
    epochs, progress = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop.batch_progress
    batches = progress.current
    none_under_way = batches.ready == batches.processed
    over = batches.processed >= trainer.num_training_batches or (progress.is_last_batch and none_under_way)
    if epochs.started > epochs.processed:
        return Position(epochs.processed + 1, 0) if over else Position(epochs.processed, batches.processed)
    cut_short = batches.processed > 0 and not over
    return Position(epochs.processed - 1, batches.processed) if cut_short else Position(epochs.processed, 0)
