"""What a run of `compare` records of its costs: backward passes, memory and time of a step."""

import json
from collections import UserList
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from mtl_lightning import MultiTaskModule
from mtl_lightning.compare.running.launchers import processes
from mtl_lightning.compare.running.run.measure import Durations, PassCounter, PeakMemory, Stopwatch
from mtl_lightning.compare.running.run.recorder import RunRecorder, _meanings, _median
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.encoders.base import Representation
from mtl_lightning.sharing import HardSharing, HybridSharing, MMoE
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.weighting import EqualWeighting, UPGrad

MB = 2**20


class Heads(nn.Module):
    def forward(self, heads, representations, tasks):
        return {}


class Encoder(nn.Module):
    """Shows what it makes to the heads, as a sharing does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.heads = Heads()

    def forward(self, inputs):
        made = self.make(inputs)
        self.heads({}, {"a": made, "b": made}, ["a", "b"])
        return made

    def make(self, inputs):
        return self.layer(inputs).relu()


class Words(Encoder):
    def make(self, inputs):
        return Representation(self.layer(inputs).relu(), self.layer(inputs).tanh())


# -- the instruments ---------------------------------------------------------------------------------------------------
def test_backward_passes_are_counted_once_for_each_batch_they_go_through():
    encoder = Encoder()
    counter = PassCounter(encoder.heads)
    assert counter.read() == 0
    features = encoder(torch.ones(2, 3))
    for task in range(3):
        torch.autograd.grad(features[:, task].sum(), encoder.layer.weight, retain_graph=True)
    assert counter.read() == 3
    torch.autograd.grad(features.sum(), encoder.layer.weight)
    assert counter.read() == 1, "all losses together count as often as one"
    (encoder(torch.ones(2, 3)).sum() + encoder(torch.ones(2, 3)).sum()).backward()
    assert counter.read() == 2, "a pass through the graphs of two batches does the work of two"
    features = encoder(torch.ones(2, 3))
    torch.autograd.grad(features.sum(), features, retain_graph=True)
    features.sum().backward()
    assert counter.read() == 1, "what ends at the features does not go through the encoder"
    with torch.no_grad():
        encoder(torch.ones(2, 3))
    assert counter.read() == 0
    counter.remove()
    encoder(torch.ones(2, 3)).sum().backward()
    assert counter.read() == 0


def test_words_and_sentence_of_a_batch_count_once():
    encoder = Words()
    counter = PassCounter(encoder.heads)
    one, other = encoder(torch.ones(2, 3)), encoder(torch.ones(2, 3))
    (one.tokens.sum() + other.tokens.sum() + one.pooled.sum() + other.pooled.sum()).backward()
    assert counter.read() == 2


def test_peak_memory_is_what_was_held_at_most_since_the_start():
    memory, device = PeakMemory(), torch.device("cpu")
    memory.start(device)
    before = memory.read(device)
    held = torch.ones(64 * MB // 4)
    del held
    assert 50 * MB < memory.read(device) - before < 200 * MB
    memory.start(device)
    assert memory.read(device) - before < 50 * MB


def test_the_first_laps_warm_up():
    watch = Stopwatch(warm_up=2)
    watch.start()
    assert [watch.lap() is None for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("values", [[0.5], [0.02, 0.03, 9.0], [1e-4] * 999 + [60.0], [0.0123, 0.0127, 0.05, 0.001]])
def test_the_median_of_durations_is_known_to_half_a_per_cent(values):
    durations = Durations()
    assert durations.median() is None
    for value in values:
        durations.add(value)
    assert durations.median() == pytest.approx(torch.tensor(values).double().quantile(0.5).item(), rel=0.006)
    assert len(durations.counts) <= len(values)


# -- a run -------------------------------------------------------------------------------------------------------------
def steps(tasks, together, hidden_inputs=4, number=8):
    """Steps of one data set that labels all tasks, or of a data set for each task."""
    inputs = torch.randn(6, hidden_inputs)

    def batch(names):
        targets = {name: torch.randn(6) for name in names}
        return Batch({"features": inputs}, targets, dict.fromkeys(names, 6), dict.fromkeys(names, 1.0), [0] * 6, 6)

    step = {"all": batch(tasks)} if together else {name: batch([name]) for name in tasks}
    return UserList([step] * number)


def costs(
    folder, method, data, *callbacks, tasks=("a", "b", "c"), width=4, accumulate=1, epochs=2, validation=None, **options
):
    made = {name: Regression(0.0, 1.0) for name in tasks}
    optimizer = partial(torch.optim.SGD, lr=0.01)
    module = MultiTaskModule(PerceptronEncoder(4, [width, width]), made, method, optimizer=optimizer, **options)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0 if validation is None else None,
        callbacks=[RunRecorder(), *callbacks],
    )
    trainer.fit(module, data, validation or data)
    return json.loads(Path(folder, "record.json").read_text())["costs"]


@pytest.mark.parametrize(
    ("method", "together", "accumulate", "expected"),
    [
        (EqualWeighting, True, 1, 1),
        (UPGrad, True, 1, 3),
        (EqualWeighting, False, 1, 3),
        (UPGrad, False, 1, 3),
        (EqualWeighting, True, 2, 2),
        (UPGrad, True, 2, 6),
    ],
)
def test_backward_passes_of_a_step(tmp_path, method, together, accumulate, expected):
    found = costs(tmp_path, method, steps("abc", together), accumulate=accumulate)
    assert found["backward_passes"] == expected
    assert found["steps"] == 16 / accumulate


def in_new_processes(calls):
    """What each call of `costs` finds in a process of its own: one that has freed memory before would use it again."""
    with ProcessPoolExecutor(1, processes(), max_tasks_per_child=1) as pool:
        waiting = [pool.submit(costs, *values, **named) for values, named in calls]
        return [found.result() for found in waiting]


def test_probed_steps_count_neither_as_passes_nor_as_memory(tmp_path):
    """Rows [8, P] of 8 tasks take 8 times the parameters; P = 2.3 million of them are 9 MB."""
    tasks = [f"t{number}" for number in range(8)]
    methods = [(EqualWeighting, {}), (EqualWeighting, {"refresh_every": 2}), (UPGrad, {})]
    plain, probed, gramian = in_new_processes(
        ((tmp_path, method, steps(tasks, True, number=5)), {"tasks": tasks, "width": 1500, "epochs": 1, **options})
        for method, options in methods
    )
    assert plain["backward_passes"] == probed["backward_passes"] == 1
    assert gramian["peak_memory"] - plain["peak_memory"] > 50 * MB
    assert probed["peak_memory"] - plain["peak_memory"] < (gramian["peak_memory"] - plain["peak_memory"]) / 2


class Wasteful(Callback):
    """Takes memory, and an hour by the clock, where no step is."""

    def on_validation_start(self, trainer, pl_module):
        torch.ones(150 * MB // 4)

    def on_validation_end(self, trainer, pl_module):
        torch.ones(150 * MB // 4)
        (recorder,) = (callback for callback in trainer.callbacks if isinstance(callback, RunRecorder))
        for watch in recorder._watches:
            watch._clock = partial(_an_hour_later, watch._clock)


def _an_hour_later(clock):
    return clock() + 3600


def test_what_happens_between_steps_counts_neither_as_time_nor_as_memory(tmp_path):
    one = steps("abc", True, number=1)
    [found] = in_new_processes([((tmp_path, EqualWeighting, one, Wasteful()), {"epochs": 6, "validation": one})])
    assert found["seconds_per_step"] < 3600 and found["cpu_seconds_per_step"] < 3600
    assert found["peak_memory"] < 100 * MB


def test_time_of_a_step_is_the_median_and_goes_into_a_checkpoint(tmp_path):
    recorder = RunRecorder()
    for seconds in (0.1, 0.1, 7.0):
        recorder._durations[False].add(seconds)
    torch.save(recorder.state_dict() | {"history": None}, tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    other = RunRecorder()
    other.load_state_dict(state | {"history": recorder.history.state_dict()})
    assert _median(other._durations) == pytest.approx(0.1, rel=0.006)


def test_rare_slow_steps_count_by_their_number():
    recorder = RunRecorder()
    for seconds in [0.1] * 9:
        recorder._durations[False].add(seconds)
    recorder._durations[True].add(0.4)
    assert _median(recorder._durations) == pytest.approx(0.13, rel=0.01)


def test_directions_of_metrics() -> None:
    reported = ["r2", "mse", "mae", "rmse"]
    tasks = {
        "number": Regression(0, 5, main_metric="rmse", metrics=reported),
        "label": SequenceClassification(["a", "b"], main_metric="loss", metrics=["mcc"]),
    }
    found = _meanings(MultiTaskModule(PerceptronEncoder(2, [2]), tasks))
    number, label = (found[name]["higher_is_better"] for name in ("number", "label"))
    assert {name: number[name] for name in (*reported, "loss")} == dict.fromkeys(reported, False) | {
        "r2": True,
        "loss": False,
    }
    assert (label["mcc"], label["loss"], found["label"]["main"]) == (True, False, "loss")


def batch_of(*tasks):
    targets = {task: torch.ones(2) for task in tasks}
    return Batch({"features": torch.ones(2, 3)}, targets, dict.fromkeys(tasks, 2), dict.fromkeys(tasks, 1.0), [0, 1], 2)


@pytest.mark.parametrize("sharing", [HardSharing, HybridSharing, MMoE])
@pytest.mark.parametrize(("family", "passes"), [(EqualWeighting, 1), (UPGrad, 2)])
def test_backward_passes_are_counted_whatever_stands_before_the_heads(sharing, family, passes):
    tasks = {"a": Regression(0.0, 1.0), "b": Regression(0.0, 1.0)}
    module = MultiTaskModule(PerceptronEncoder(3, [4, 4]), tasks, family, sharing)
    module.build()
    counter = PassCounter(module.chain)
    targets = {task: torch.ones(2) for task in tasks}
    batch = Batch(
        {"features": torch.ones(2, 3)}, targets, dict.fromkeys(tasks, 2), dict.fromkeys(tasks, 1.0), [0, 1], 2
    )
    found = module.losses([batch])
    module.executor.add(found.losses, found.shares, terms=found.terms)
    module.executor.backward(module.executor.combine().objective)
    assert counter.read() == passes


@pytest.mark.parametrize("number", [1, 2])
def test_batches_that_are_encoded_together_count_as_those_that_are_not(number):
    tasks = {"a": Regression(0.0, 1.0), "b": Regression(0.0, 1.0)}
    module = MultiTaskModule(PerceptronEncoder(3, [4, 4]), tasks, EqualWeighting)
    module.build()
    counter = PassCounter(module.chain)
    batches = [
        Batch({"features": torch.ones(2, 3)}, {task: torch.ones(2)}, {task: 2}, {task: 1.0}, [0, 1], 2)
        for task in tasks
    ]
    for parts in [batches] if number == 1 else [[batch] for batch in batches]:
        found = module.losses(parts)
        module.executor.add(found.losses, found.shares, terms=found.terms)
    module.executor.backward(module.executor.combine().objective)
    assert counter.read() == 2
