"""What a module does in every step, once for all heads."""

import pytest
import torch
from torch import nn

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.means import EpochMeans
from mtl_lightning.backward.step import Setup
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.tasks import Regression
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.training.randomness import seed_batch
from mtl_lightning.training.walk import parameters_and_buffers
from mtl_lightning.weighting import DWA, FAMO


def module() -> MultiTaskModule:
    tasks = {name: Regression(mean=0.0, std=1.0) for name in "ab"}
    built = MultiTaskModule(PerceptronEncoder(3, [4]), tasks, weighting=FAMO)
    built.heads["b"].extra = nn.Sequential(nn.BatchNorm1d(4), built.encoder.layers[0])  # one that stands in two places
    built.build()
    return built


def test_a_walk_finds_what_torch_finds() -> None:
    model = module()
    parameters, buffers = parameters_and_buffers(model)
    assert sorted(map(id, parameters)) == sorted(map(id, model.parameters()))
    assert sorted(map(id, buffers)) == sorted(map(id, model.buffers()))
    apart = parameters_and_buffers(model, apart=model.weighting)[1]
    assert {id(b) for b in buffers} - {id(b) for b in apart} == {id(b) for b in model.weighting.buffers()} != set()


def test_seeding_the_host_alone_draws_the_same() -> None:
    draws = []
    for device in (torch.device("cpu"), torch.device("meta")):  # any but the host: all devices are seeded
        seed_batch(1, 2, 3, 0, device)
        draws.append(torch.rand(4))
    assert torch.equal(*draws)
    seed_batch(1, 2, 4, 0, torch.device("cpu"))
    assert not torch.equal(torch.rand(4), draws[0])


def test_sums_of_an_epoch_are_kept_by_task_and_taken_from_older_checkpoints() -> None:
    parameter = nn.Parameter(torch.ones(1))
    weighting = DWA(["a", "b", "c"])
    means = EpochMeans(Setup(weighting, [parameter], {}, None, True))
    means.load_state_dict(
        {"epoch": 0, "sums": {"c": torch.tensor(3.0), "a": torch.tensor(1.0)}, "counts": {"c": 2, "a": 1}},
        torch.device("cpu"),
    )
    means.add(("b", "c"), torch.tensor([5.0, 1.0]))
    state = means.state_dict()
    assert {task: float(total) for task, total in state["sums"].items()} == {"a": 1.0, "b": 5.0, "c": 4.0}
    assert state["counts"] == {"a": 1, "b": 1, "c": 3}
    told = []
    weighting.on_epoch_end = lambda losses, tasks: told.append((losses.tolist(), tasks.tolist()))
    means.start(1, weighting)
    assert told == [([1.0, 5.0, pytest.approx(4 / 3)], [0, 1, 2])]
    means.start(2, weighting)
    assert len(told) == 1


def test_scalars_by_task_are_a_mapping() -> None:
    found = ByTask(("a", "b"), torch.tensor([1.0, 2.0]))
    assert list(found) == ["a", "b"] and len(found) == 2 and "c" not in found
    assert repr(found) == "{'a': tensor(1.), 'b': tensor(2.)}"
    assert found.vector(("a", "b")).tolist() == [1, 2] and found.vector(iter("ba")).tolist() == [2, 1]
