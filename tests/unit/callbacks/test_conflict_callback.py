"""Means, stretches of training, verdict, pictures, checkpoints and logs of `TaskConflicts`."""

import csv
import warnings
from collections import UserList
from functools import partial
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
import wandb_log
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from matplotlib.image import imread

from mtl_lightning import MultiTaskModule
from mtl_lightning.backward import cosines
from mtl_lightning.callbacks import TaskConflicts, conflicts
from mtl_lightning.callbacks.conflicts import verdict
from mtl_lightning.callbacks.cosine_figures import draw_matrix, draw_training
from mtl_lightning.callbacks.cosines import CosineHistory
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression
from mtl_lightning.weighting import EqualWeighting, UPGrad


def matrices(num_tasks, num_steps, seed=0, means=0.0, memory=0.0):
    """Random symmetric matrices [num_steps, K, K], around some mean, each like the one before to a degree."""
    random = np.random.default_rng(seed)
    noise = random.normal(scale=0.2, size=(num_steps, num_tasks, num_tasks))
    for step in range(1, num_steps):
        noise[step] = memory * noise[step - 1] + (1 - memory**2) ** 0.5 * noise[step]
    upper = np.triu(np.clip(noise + means, -1, 1), 1)
    return upper + upper.swapaxes(1, 2) + np.eye(num_tasks)


def history_of(steps, first=1, every=1):
    history = CosineHistory(names(steps.shape[1]))
    for number, found in enumerate(steps):
        history.add(first + number * every, history.tasks, found)
    return history


def names(number):
    return [f"task_{letter}" for letter in "abcdefghijklmnopqrstuvwxyzABCDEF"[:number]]


def planted(num_tasks, cosines):
    means = np.zeros((num_tasks, num_tasks))
    for pair, cosine in cosines.items():
        means[pair] = cosine
    return means


# -- means and stretches -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("num_steps", [1, 63, 64, 65, 1000])
def test_the_mean_is_that_of_all_steps(num_steps):
    steps = matrices(4, num_steps)
    (whole,) = history_of(steps).parts(1)
    assert (whole.first, whole.last) == (1, num_steps)
    np.testing.assert_allclose(whole.means, steps.mean(0), atol=1e-12)


def test_a_pair_counts_the_steps_that_saw_both():
    history = CosineHistory(["a", "b", "c"])
    history.add(1, ["c", "a"], np.array([[1, -0.5], [-0.5, 1]]))
    history.add(2, ["a", "b", "c"], np.array([[np.nan] * 3, [np.nan, 1, 0.2], [np.nan, 0.2, 1]]))
    (whole,) = history.parts(1)
    np.testing.assert_allclose(whole.means, [[1, np.nan, -0.5], [np.nan, 1, 0.2], [-0.5, 0.2, 1]])
    assert history.most_seen() == 1


@pytest.mark.parametrize(("num_steps", "every"), [(5, 1), (64, 1), (65, 1), (700, 3)])
def test_parts_cut_training_without_gaps(num_steps, every):
    steps = matrices(2, num_steps)
    parts = history_of(steps, first=every, every=every).parts(6)
    assert len(parts) <= 6
    assert parts[0].first == every and parts[-1].last == num_steps * every
    for part, following in pairwise(parts):
        assert following.first == part.last + 1
    for part in parts:
        within = steps[(part.first - 1) // every : part.last // every]
        np.testing.assert_allclose(part.means, within.mean(0), atol=1e-12)


def test_a_run_that_is_watched_from_its_middle():
    parts = history_of(matrices(2, 200), first=1001).parts(6)
    assert parts[0].first == 1001 and parts[-1].last == 1200
    assert all(np.isfinite(part.means).all() for part in parts)


# -- the verdict -------------------------------------------------------------------------------------------------------
def test_planted_conflicts_are_found_the_strongest_first():
    means = planted(4, {(0, 1): -0.1, (1, 3): -0.3, (0, 2): 0.3})
    found = history_of(matrices(4, 400, means=means)).conflicts()
    assert [conflict.tasks for conflict in found] == [("task_b", "task_d"), ("task_a", "task_b")]
    assert found[0].mean == pytest.approx(-0.3, abs=0.04)
    assert found[0].share == pytest.approx(0.93, abs=0.04) and found[0].steps == 400
    assert 0 < found[0].margin < 0.1


def test_it_is_said_in_sentences():
    text = verdict(history_of(matrices(3, 400, means=planted(3, {(0, 1): -0.3}))))
    assert text.startswith("task_a and task_b hinder each other: mean cosine -0.")
    assert text.endswith("% of 400 steps") and len(text.splitlines()) == 1


def test_many_conflicts_are_summed_up():
    lines = verdict(history_of(matrices(6, 200, means=-0.5))).splitlines()
    assert len(lines) == 11 and lines[-1] == "… and 5 more pairs of tasks"


@pytest.mark.parametrize("memory", [0.0, 0.5], ids=["independent", "alike"])
def test_noise_is_no_conflict(memory):
    """28 pairs in each of 40 runs: without regard to their number, more than half of the runs would name some."""
    wrong = sum(bool(history_of(matrices(8, 300, seed, memory=memory)).conflicts()) for seed in range(40))
    assert wrong <= 6  # 2 are expected
    assert verdict(history_of(matrices(3, 100))) == "No two tasks hinder each other, as far as 100 steps can tell"


def test_a_trend_that_crosses_zero_is_no_conflict():
    trend = np.linspace(0.3, -0.32, 400)[:, None, None]
    assert not history_of(matrices(2, 400, means=trend)).conflicts()


def test_few_steps_are_not_judged():
    means = planted(2, {(0, 1): -0.5})
    assert verdict(history_of(matrices(2, 49, means=means))).startswith("Too few steps")
    assert "hinder each other: mean" in verdict(history_of(matrices(2, 50, means=means)))


def test_a_constant_conflict_is_one():
    steps = np.tile(np.array([[1.0, -1.0], [-1.0, 1.0]]), (64, 1, 1))
    assert verdict(history_of(steps)).endswith("mean cosine -1.000 ± 0.000, gradients conflict in 100% of 64 steps")


def test_nothing_was_seen():
    assert "model.refresh_every" in verdict(CosineHistory(["a", "b"]))
    alone = CosineHistory(["a", "b"])
    for step in range(1, 100):
        alone.add(step, ["a"], np.ones((1, 1)))
    assert "accumulate_grad_batches" in verdict(alone)


# -- checkpoints -------------------------------------------------------------------------------------------------------
def test_a_history_goes_on_from_a_checkpoint():
    steps = matrices(3, 150)
    whole, file = history_of(steps), BytesIO()
    torch.save(history_of(steps[:70]).state_dict(), file)
    file.seek(0)
    resumed = CosineHistory([])
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for number, found in enumerate(steps[70:]):
        resumed.add(71 + number, whole.tasks, found)
    assert_same(resumed.state_dict(), whole.state_dict())
    assert resumed.conflicts() == whole.conflicts()


def assert_same(state, other):
    assert state.keys() == other.keys()
    for key, value in state.items():
        assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]


# -- pictures ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("draw", [draw_matrix, draw_training])
@pytest.mark.parametrize("num_tasks", [2, 9])
def test_pictures_show_something(draw, num_tasks, tmp_path):
    draw(history_of(matrices(num_tasks, 60)), tmp_path / "new" / "picture.png")
    picture = imread(tmp_path / "new" / "picture.png")
    assert min(picture.shape[:2]) > 300
    assert 0.02 < (picture[..., :3] < 0.98).any(axis=2).mean() < 0.98
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 30


def test_the_matrix_is_red_where_gradients_conflict(tmp_path):
    for sign in (-1, 1):
        draw_matrix(history_of(matrices(2, 60, means=0.5 * sign)), tmp_path / f"{sign}.png")
    conflict, harmony = (imread(tmp_path / f"{sign}.png")[..., :3] for sign in (-1, 1))
    assert share(conflict, 0, 2) > 5 * share(harmony, 0, 2)
    assert share(harmony, 2, 0) > 5 * share(conflict, 2, 0)


def share(picture, more, less):
    return (picture[..., more] > picture[..., less] + 0.2).mean()


@pytest.mark.parametrize("draw", [draw_matrix, draw_training])
@pytest.mark.parametrize("num_tasks", [2, 9])
def test_pairs_that_were_never_seen_do_not_disturb(draw, num_tasks, tmp_path):
    history = CosineHistory(names(num_tasks))
    history.add(7, history.tasks[:1], np.ones((1, 1)))
    draw(history, tmp_path / "nothing.png")
    history.add(130, history.tasks[:2], np.array([[1.0, -1.0], [-1.0, 1.0]]))
    draw(history, tmp_path / "little.png")
    assert (tmp_path / "nothing.png").stat().st_size > 3000


# -- in a run ----------------------------------------------------------------------------------------------------------
class Spy(Callback):
    """Keeps the Gramian of each optimizer step."""

    def __init__(self):
        self.found = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.step is not None and pl_module.step.gramian is not None:
            self.found[trainer.global_step] = cosines(pl_module.step.gramian)


def fit(folder, *callbacks, method=UPGrad, epochs=3, loggers=False, checkpoint=None, accumulate=1, **options):
    """Three tasks; two want the same of the features, the third wants the opposite. Four batches an epoch."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    tasks = {name: Regression(dropout=0.0) for name in options.pop("tasks", ("left", "right", "other"))}
    for task in tasks.values():
        task.adapt([0.0, 1.0])
    module = MultiTaskModule(
        PerceptronEncoder(5, [6], dropout=0.0), tasks, method, optimizer=partial(torch.optim.SGD, lr=0.05), **options
    )
    batches = []
    for _ in range(4):
        inputs = torch.randn(16, 5, generator=random)
        targets = {name: inputs[:, 0] * (-1 if name == "other" else 1) for name in tasks}
        counts = dict.fromkeys(tasks, 16)
        shares = dict.fromkeys(tasks, 1.0)
        batches.append({"only": Batch({"features": inputs}, targets, counts, shares, list(range(16)), 16)})
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        default_root_dir=folder,
        logger=loggers,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=3,
        callbacks=[*callbacks, ModelCheckpoint(folder, "{epoch}", save_top_k=-1, enable_version_counter=False)],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(dirpath has changed|Checkpoint directory)")
        trainer.fit(module, UserList(batches), UserList(batches[:1]), ckpt_path=checkpoint, weights_only=True)
    return trainer


@pytest.fixture
def undrawn(monkeypatch):
    """What is drawn is not looked at."""
    monkeypatch.setattr(TaskConflicts, "_draw", lambda *_: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of twelve steps with all loggers: its folder and its callback."""
    folder = tmp_path_factory.mktemp("run")
    loggers = [
        CSVLogger(folder, name="csv", version=""),
        TensorBoardLogger(folder, name="", version="tensorboard"),
        WandbLogger(save_dir=folder, project="test", offline=True, settings={"silent": True}),
    ]
    callback, spy = TaskConflicts(), Spy()
    fit(folder, spy, callback, loggers=loggers)
    loggers[-1].experiment.finish()
    return folder, callback, spy


def test_every_step_counts(run):
    _, callback, spy = run
    assert list(spy.found) == list(range(1, 13))
    (whole,) = callback.history.parts(1)
    np.testing.assert_allclose(whole.means, np.mean(list(spy.found.values()), axis=0), atol=1e-12)


def test_pictures_are_in_the_folder_of_the_run(run):
    assert {path.name for path in (run[0] / "plots").iterdir()} == {"matrix.png", "training.png"}


def test_the_log_has_the_mean_cosines_since_the_last_logged_step(run):
    folder, _, spy = run
    with open(folder / "csv" / "metrics.csv", newline="") as file:
        logged = [row for row in csv.DictReader(file) if row["train/cosine/left-other"]]
    assert [int(row["step"]) for row in logged] == [2, 5, 8, 11]
    for row, first in zip(logged, range(1, 12, 3), strict=True):
        expected = np.mean([spy.found[step] for step in range(first, first + 3)], axis=0)
        for name, pair in {"left-right": (0, 1), "left-other": (0, 2), "right-other": (1, 2)}.items():
            assert float(row[f"train/cosine/{name}"]) == pytest.approx(expected[pair], abs=1e-6)


def test_weights_and_biases_has_the_pictures(run):
    (folder,) = (run[0] / "wandb").glob("offline-run-*")
    history = wandb_log.history(folder)
    for name in ("matrix", "training"):
        images = [item for item in history if f"conflicts/{name}._type" in item]
        assert [item["trainer/global_step"] for item in images] == [4, 8, 12]
        (file,) = images[-1][f"conflicts/{name}.filenames"]
        assert (folder / "files" / file).read_bytes() == (run[0] / "plots" / f"{name}.png").read_bytes()


def test_tensorboard_has_the_pictures(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run[0] / "tensorboard"))
    events.Reload()
    assert [image.step for image in events.Images("conflicts/matrix")] == [4, 8, 12]


def test_a_resumed_run_ends_as_one_that_was_not_stopped(run, undrawn, tmp_path):
    resumed = TaskConflicts(every_n_epochs=9)
    fit(tmp_path, resumed, checkpoint=str(run[0] / "epoch=1.ckpt"))
    state, other = resumed.state_dict(), run[1].state_dict()
    assert_same(state["history"], other["history"])
    assert state["recent"] == other["recent"]


class SameHeads(Callback):
    """Gives all heads the same weights, so that the encoder alone can tell opposite tasks apart, which it cannot."""

    def on_train_start(self, trainer, pl_module):
        first, *others = pl_module.heads.values()
        for head in others:
            head.load_state_dict(first.state_dict())


def test_the_verdict_comes_at_the_end(undrawn, tmp_path, capsys):
    fit(tmp_path, TaskConflicts(every_n_epochs=7), SameHeads(), epochs=13, head_lr_factor=1e-9)
    first, second, where = capsys.readouterr().out.splitlines()
    assert {line.split(" hinder each other: mean cosine -")[0] for line in (first, second)} == {
        "left and other",
        "right and other",
    }
    assert where == f"Cosines of the tasks' gradients: matrix.png and training.png in {tmp_path / 'plots'}"


def test_only_optimizer_steps_count(undrawn, tmp_path):
    callback = TaskConflicts(every_n_epochs=9)
    fit(tmp_path, callback, accumulate=2)
    assert callback.history.steps == callback.history.most_seen() == 6


def test_refresh_every_shows_conflicts_under_a_loss_weighting(undrawn, tmp_path):
    callback, spy = TaskConflicts(every_n_epochs=9), Spy()
    fit(tmp_path, callback, spy, method=EqualWeighting, refresh_every=3)
    assert callback.history.steps == len(spy.found) == 4
    assert callback.history.parts(1)[0][:2] == (1, 10)


def test_without_gradients_it_says_so_at_the_start_and_at_the_end(tmp_path, capsys, caplog):
    fit(tmp_path, TaskConflicts(), method=EqualWeighting, epochs=1)
    assert "model.refresh_every" in caplog.text
    assert capsys.readouterr().out.count("model.refresh_every") == 1
    assert not (tmp_path / "plots").exists()


def test_matplotlib_that_is_not_installed_is_missed_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(conflicts, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'mtl-lightning\[plots\]'"):
        fit(tmp_path, TaskConflicts())


def test_one_task_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is only one, 'alone'"):
        fit(tmp_path, TaskConflicts(), tasks=("alone",))


def test_epochs_are_positive():
    with pytest.raises(UserError, match="`every_n_epochs` must be at least 1, found 0"):
        TaskConflicts(every_n_epochs=0)


def test_its_short_name_suffices():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callbacks", type=list[Callback] | Callback | None)
    parsed = parser.parse_args(["--callbacks+=TaskConflicts", "--callbacks.every_n_epochs=3"])
    (callback,) = parser.instantiate(parsed)["callbacks"]
    assert isinstance(callback, TaskConflicts) and callback.every_n_epochs == 3
