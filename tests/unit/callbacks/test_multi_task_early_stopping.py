"""A run ends when no task improves any more, and not before."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.callbacks import MultiTaskEarlyStopping
from mtl_lightning.errors import UserError


def stops_after(callback: MultiTaskEarlyStopping, *validations: tuple[float, float]) -> int | None:
    """The number of validations after which it stops; each has an accuracy of `a` and an error of `b`."""
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    state = SimpleNamespace(fn=TrainerFn.FITTING)
    trainer: Any = SimpleNamespace(strategy=strategy, state=state, sanity_checking=False, should_stop=False)
    tasks = {
        "a": SimpleNamespace(main_metric="accuracy", higher_is_better=True),
        "b": SimpleNamespace(main_metric="mae", higher_is_better=False),
    }
    for number, (accuracy, mae) in enumerate(validations, 1):
        results = {"val": SimpleNamespace(metrics={"a": {"accuracy": accuracy}, "b": {"mae": mae}})}
        module: Any = SimpleNamespace(tasks=tasks, results=results)
        callback.on_validation_end(trainer, module)
        if trainer.should_stop:
            return number
    return None


NAN = float("nan")


@pytest.mark.parametrize(
    ("settings", "validations", "expected"),
    [
        ({"patience": 2}, [(0.5, 3), (0.5, 3), (0.5, 3), (0.5, 3)], 3),
        ({"patience": 2}, [(0.5, 3), (0.4, 2), (0.3, 1), (0.2, 0.5)], None),
        ({"patience": 2}, [(0.5, 3), (0.4, 4), (0.6, 4), (0.6, 4), (0.6, 4)], 5),
        ({"patience": 2, "tasks": ["a"]}, [(0.5, 3), (0.4, 2), (0.3, 1)], 3),
        ({"patience": 1, "min_delta": 0.1}, [(0.5, 3), (0.55, 2.95)], 2),
        ({"patience": 2}, [(NAN, NAN), (0.5, NAN), (NAN, NAN), (NAN, NAN)], 4),
    ],
    ids=["neither", "one still improves", "in turns", "one counts", "too little", "not a number"],
)
def test_when_it_stops(settings: Any, validations: Any, expected: int | None) -> None:
    assert stops_after(MultiTaskEarlyStopping(**settings), *validations) == expected


def test_its_state_goes_on() -> None:
    first, second = MultiTaskEarlyStopping(2), MultiTaskEarlyStopping(2)
    assert stops_after(first, (0.5, 3), (0.5, 3)) is None
    second.load_state_dict(first.state_dict())
    assert stops_after(second, (0.5, 3)) == 1


@pytest.mark.parametrize(("settings", "expected"), [({"patience": 0}, "patience"), ({"min_delta": -1.0}, "min_delta")])
def test_settings_that_mean_nothing_are_refused(settings: Any, expected: str) -> None:
    with pytest.raises(UserError, match=f"`{expected}` must be at least"):
        MultiTaskEarlyStopping(**settings)


def test_on_the_command_line(tmp_path: Path, monkeypatch: Any, capsys: Any, caplog: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    still = ["--trainer.callbacks+=MultiTaskEarlyStopping", "--model.optimizer.lr=0", "--evaluate=none"]
    assert tiny.fit("run", *still, "--trainer.callbacks.patience=1", "--trainer.max_epochs=9") == 0
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["epoch"] == 2
    assert "No task has improved for 1 validations: stopping. Best: cls accuracy" in caplog.text
    assert tiny.fit("other", *still, "--trainer.callbacks.tasks=[clss]") == 2
    assert "MultiTaskEarlyStopping knows no task 'clss'; did you mean 'cls'?" in capsys.readouterr().err
