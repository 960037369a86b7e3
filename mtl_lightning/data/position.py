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


def put_position(progress: dict[str, Any], where: Position) -> None:
    """Sets the counters of Lightning's fit loop to where ``batch`` batches of an epoch are done and none is begun."""
    under_way = where.batch > 0
    epochs, batches = progress["epoch_progress"], progress["epoch_loop.batch_progress"]
    more = where.epoch - epochs["current"]["completed"]
    for counts in (epochs["current"], epochs["total"]):
        done = counts["completed"] + more
        counts.update(ready=done + under_way, started=done + under_way, processed=done, completed=done)
    total = batches["total"]["processed"]
    batches["total"].update(ready=total, started=total, completed=total)
    batches["current"].update(dict.fromkeys(batches["current"], where.batch))
    batches["is_last_batch"] = False


def move(trainer: Any, batch: int) -> None:
    """Sets the counter of a trainer that is about to resume in mid-epoch to another batch of the epoch.

    Args:
        trainer: Lightning's.
        batch: Number of the next batch, where the epoch has others than before.
    """
    counts = trainer.fit_loop.epoch_loop.batch_progress.current
    counts.ready = counts.started = counts.processed = counts.completed = batch
