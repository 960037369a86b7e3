"""Checkpoints by the clock: of one process that all follow, and none twice."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_last_checkpoint import Steps, fit

from mtl_lightning.callbacks import LastCheckpoint, save_clock
from mtl_lightning.callbacks.save_clock import SaveClock
from mtl_lightning.errors import UserError


class LateAgreement:
    """That of several processes: what was handed in comes out one step later."""

    def __init__(self) -> None:
        self.handed_in = 0

    def exchange(self, wish: int) -> int:
        before, self.handed_in = self.handed_in, wish
        return before


@pytest.fixture(autouse=True)
def a_second_passes_with_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    monkeypatch.setattr(save_clock, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))


def test_it_is_written_every_few_minutes(tmp_path: Path) -> None:
    """Minutes are counted from the checkpoint before, whatever it was written for."""
    steps = Steps()
    fit(tmp_path, LastCheckpoint(every_n_minutes=3 / 60), steps)
    assert steps.steps == [2, 5, 7, 10]  # before the third look since the one before; at the ends of both epochs


def test_one_wish_is_granted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(save_clock, "Agreement", LateAgreement)
    clock = SaveClock(2 / 60)
    clock.start()
    due = []
    for _ in range(8):
        due.append(clock.is_due())
        if due[-1]:
            clock.restart()
    assert due == [False, False, True, False, False, True, False, False]


def test_others_follow_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(save_clock, "is_first", lambda: False)
    clock = SaveClock(1 / 60)
    clock.start()
    assert not any(clock.is_due() for _ in range(5))


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_that_are_none(minutes: float) -> None:
    with pytest.raises(UserError, match="`every_n_minutes` must be a positive number, found"):
        LastCheckpoint(every_n_minutes=minutes)
