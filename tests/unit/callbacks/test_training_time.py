"""How long a run has trained."""

from typing import Any

import pytest

from mtl_lightning.callbacks import TrainingTime, training_time


def test_it_counts_on_in_a_resumed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(training_time.time, "monotonic", lambda: now[0])
    nothing: Any = None
    first = TrainingTime()
    assert first.state_dict() == {"seconds": 0.0}
    first.on_train_start(nothing, nothing)
    now[0] += 5
    saved = first.state_dict()
    assert saved == {"seconds": 5.0}
    second = TrainingTime()
    second.load_state_dict(saved)
    now[0] += 1000
    second.on_train_start(nothing, nothing)
    now[0] += 2
    second.on_train_end(nothing, nothing)
    now[0] += 1000
    assert second.seconds == 7.0
