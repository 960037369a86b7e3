"""What a sharing notes of its experts, and how it says who reads what."""

import math

import pytest
import torch
from torch import nn

from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import HardSharing
from mtl_lightning.sharing.observing import ExpertUse, parts_by_reader

TASKS = ("a", "b")


@pytest.fixture
def use() -> ExpertUse:
    return ExpertUse({"one": TASKS, "two": TASKS})


def test_the_mean_is_over_batches_until_it_is_reset(use: ExpertUse) -> None:
    use.note("a", torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    use.note("a", torch.tensor([0.25, 0.75]))
    mean = use.mean("a")
    assert mean is not None
    assert mean.tolist() == [0.5, 0.5]
    assert use.mean("b") is None
    use.reset()
    assert use.mean("a") is None
    newest = use.newest("a")
    assert newest is not None
    assert newest.tolist() == [0.25, 0.75]


def test_padded_positions_do_not_count(use: ExpertUse) -> None:
    weights = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]]])
    use.note("a", weights, torch.tensor([[True, False], [True, True]]))
    mean, entropy = use.mean("a"), use.entropy("a")
    assert mean is not None and entropy is not None
    assert mean.tolist() == [1.0, 0.0]
    assert entropy == 0.0


def test_entropy_is_that_of_each_example(use: ExpertUse) -> None:
    use.note("a", torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    entropy = use.entropy("a")
    assert entropy is not None
    assert float(entropy) == pytest.approx(math.log(2) / 2)


def test_evaluation_is_not_noted(use: ExpertUse) -> None:
    use.eval()
    use.note("a", torch.tensor([1.0, 0.0]))
    assert use.mean("a") is None
    assert use.entropy("a") is None


def test_it_keeps_no_graph_and_nothing_in_a_checkpoint(use: ExpertUse) -> None:
    weights = torch.tensor([0.5, 0.5], requires_grad=True)
    use.note("a", weights)
    mean = use.mean("a")
    assert mean is not None and not mean.requires_grad
    assert not use.state_dict()


def test_parts_are_the_encoder_attributes_and_what_tasks_have_alone() -> None:
    sharing = nn.ModuleDict({"experts": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])})
    gates = {task: nn.Linear(2, 2, bias=False) for task in TASKS}
    sharing["task_gates"] = nn.ModuleDict(gates)
    encoder = nn.Linear(3, 2)
    parts = parts_by_reader(encoder.parameters(), sharing, {"a": list(gates["a"].parameters()), "b": []})
    sizes = {part.name: (sum(p.numel() for p in part.parameters), part.tasks) for part in parts}
    assert sizes == {
        "encoder": (8, TASKS),
        "experts": (12, TASKS),
        "task gates": (4, TASKS),
        "of a alone": (4, ("a",)),
    }


def test_hard_sharing_has_one_part() -> None:
    encoder = PerceptronEncoder(3, [2])
    sharing = HardSharing(TASKS, encoder)
    ((name, parameters, tasks),) = sharing.parts()
    assert (name, list(parameters), tasks) == ("encoder", list(encoder.parameters()), TASKS)
    assert sharing.observe() == ([], None)
