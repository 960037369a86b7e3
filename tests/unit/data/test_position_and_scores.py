"""How far a run is, and the best scores so far: what is counted for the checkpoint."""

from types import SimpleNamespace
from typing import Any

import pytest

from mtl_lightning.data.position import position
from mtl_lightning.data.scores import Scores


def progress(epochs: tuple[int, int], ready: int, processed: int, last: bool) -> Any:
    current = SimpleNamespace(ready=ready, processed=processed)
    loop = SimpleNamespace(
        epoch_progress=SimpleNamespace(current=SimpleNamespace(started=epochs[0], processed=epochs[1])),
        epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(current=current, is_last_batch=last)),
    )
    return SimpleNamespace(fit_loop=loop, num_training_batches=5)


@pytest.mark.parametrize(
    ("trainer", "expected"),
    {
        "at the start": (progress((0, 0), 0, 0, False), (0, 0)),
        "before a batch": (progress((3, 2), 4, 3, False), (2, 3)),
        "before the last batch": (progress((3, 2), 5, 4, True), (2, 4)),
        "after the last batch": (progress((3, 2), 5, 5, True), (3, 0)),
        "between epochs": (progress((3, 3), 5, 5, True), (3, 0)),
        "after an epoch that was cut short": (progress((3, 3), 2, 2, False), (2, 2)),
    }.values(),
)
def test_position(trainer: Any, expected: tuple[int, int]) -> None:
    assert position(trainer) == expected


def test_scores_keep_the_best() -> None:
    scores = Scores()
    for value in (0.5, 0.7, float("nan"), 0.6):
        scores.add("up", value, True)
        scores.add("down", value, False)
    up, down = scores.of(["up", "missing", "down"])
    assert (up.latest, up.best, down.latest, down.best) == (0.6, 0.7, 0.6, 0.5)
    again = Scores()
    again.load_state_dict(scores.state_dict())
    assert again.of(["up", "down"]) == [up, down]
