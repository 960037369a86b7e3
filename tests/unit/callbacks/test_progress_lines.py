"""Lines that say how far a run is, and the best scores in Weights & Biases."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.loggers import WandbLogger

from mtl_lightning.callbacks import BestScores, ProgressLines
from mtl_lightning.callbacks import progress_lines as module
from mtl_lightning.cli.progress import no_bar_can_be_seen


def trainer(**changes):
    loops = {"global_step": 0, "current_epoch": 0, "max_epochs": 2, "max_steps": -1, "num_training_batches": 10}
    state = SimpleNamespace(fn="fit")
    return SimpleNamespace(
        **{
            **{"state": state, "sanity_checking": False, "is_global_zero": True, "accumulate_grad_batches": 1},
            **{"progress_bar_metrics": {"val/average": 0.5}, "callback_metrics": {}, "loggers": []},
            **loops,
            **changes,
        }
    )


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.seconds)
    return now


def test_a_line_is_printed_at_the_first_step_and_then_every_so_often(clock, capsys):
    lines, run = ProgressLines(seconds=30), trainer()
    lines.on_train_start(run, None)
    for step in range(1, 11):
        clock.seconds += 10
        run.global_step = step
        lines.on_train_batch_end(run)
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in printed] == [f"epoch 1/2, step {step}/20" for step in (1, 4, 7, 10)]
    assert printed[1] == "epoch 1/2, step 4/20: val/average 0.5; 0.1 steps/s, 2.7 min left"


def test_a_validation_is_printed_unless_a_line_has_just_been(clock, capsys):
    lines, run = ProgressLines(seconds=30), trainer(global_step=1)
    lines.on_train_start(run, None)
    lines.on_validation_end(trainer(sanity_checking=True), None)
    lines.on_validation_end(trainer(state=SimpleNamespace(fn="validate")), None)
    assert not capsys.readouterr().err
    lines.on_validation_end(run, None)
    clock.seconds += 1
    lines.on_validation_end(run, None)
    assert len(capsys.readouterr().err.splitlines()) == 1
    clock.seconds += 3
    lines.on_validation_end(run, None)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_end_is_always_printed_once(clock, capsys):
    lines, run = ProgressLines(seconds=30), trainer()
    lines.on_train_start(run, None)
    run.global_step, run.current_epoch = 20, 2
    lines.on_train_end(run, None)
    lines.on_train_end(run, None)
    assert capsys.readouterr().err.startswith("epoch 2/2, step 20/20: ")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"max_epochs": -1}, "epoch 1, step 0"),
        ({"max_epochs": -1, "max_steps": 7}, "epoch 1, step 0/7"),
        ({"max_steps": 7}, "epoch 1/2, step 0/7"),
        ({"num_training_batches": float("inf")}, "epoch 1/2, step 0"),
        ({"accumulate_grad_batches": 4}, "epoch 1/2, step 0/6"),
    ],
)
def test_runs_whose_end_is_given_otherwise(changes, place, clock, capsys):
    lines, run = ProgressLines(), trainer(**changes)
    lines.on_train_start(run, None)
    lines.on_train_batch_end(run)
    assert capsys.readouterr().err.split(": val")[0] == place


def test_only_the_first_process_prints(clock, capsys):
    lines, run = ProgressLines(), trainer(is_global_zero=False)
    lines.on_train_start(run, None)
    lines.on_train_end(run, None)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"enable_progress_bar": None, "callbacks": None}, True),
        ({"enable_progress_bar": True, "callbacks": None}, False),
        ({"enable_progress_bar": False, "callbacks": None}, False),
    ],
)
def test_lines_take_the_place_of_a_bar_where_there_is_no_terminal(settings, lines, capsys):
    assert no_bar_can_be_seen(settings) is lines


class Summary(WandbLogger):
    def __init__(self):
        self.written = {}

    @property
    def experiment(self):
        return SimpleNamespace(summary=self.written)


@pytest.mark.parametrize(("mode", "best"), [("max", 0.7), ("min", 0.2)])
def test_the_best_scores_stay_in_the_summary(mode, best):
    logger, scores = Summary(), BestScores("val/average", mode)
    for epoch, score in enumerate((0.5, float("nan"), 0.7, 0.2, 0.5)):
        metrics = {"val/average": torch.tensor(score), "val/a/loss": torch.tensor(-score), "train/loss": torch.ones(())}
        run = trainer(callback_metrics=metrics, loggers=[logger], current_epoch=epoch, global_step=epoch * 10)
        scores.on_validation_end(run, None)
    epoch = {"max": 2, "min": 3}[mode]
    assert logger.written == pytest.approx(
        {"best/val/average": best, "best/val/a/loss": -best, "best/epoch": epoch, "best/step": epoch * 10}
    )
    again = BestScores("val/average", mode)
    again.load_state_dict(scores.state_dict())
    again.on_validation_end(trainer(callback_metrics={"val/average": torch.tensor(0.5)}, loggers=[logger]), None)
    assert logger.written["best/epoch"] == epoch
