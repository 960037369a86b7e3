"""What is logged of experts."""

import math

import pytest
import torch

from mtl_lightning.sharing.observing import ExpertUse
from mtl_lightning.training.expert_log import expert_log

BOTH = ("a", "b")


def test_use_entropy_and_the_share_of_dead_experts() -> None:
    use = ExpertUse({"shared_0": BOTH, "shared_1": BOTH, "a_0": ["a"], "b_0": ["b"]})
    use.note("a", torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]))
    use.note("b", torch.tensor([[0.992, 0.008, 0.0]]))
    found = expert_log([use])
    assert found == pytest.approx(
        {
            "expert/a/shared_0": 0.5,
            "expert/a/shared_1": 0.0,
            "expert/a/a_0": 0.5,
            "gate_entropy/a": math.log(2),
            "expert/b/shared_0": 0.992,
            "expert/b/shared_1": 0.008,
            "expert/b/b_0": 0.0,
            "gate_entropy/b": -0.992 * math.log(0.992) - 0.008 * math.log(0.008),
            "dead_experts": 0.5,
        }
    )


def test_levels_have_names_and_tasks_without_a_batch_none() -> None:
    levels = [ExpertUse({"shared_0": BOTH, "shared_1": BOTH}, name) for name in ("level_1", "level_2")]
    levels[0].note("a", torch.tensor([1.0, 0.0]))
    levels[1].note("b", torch.tensor([0.5, 0.5]))
    found = expert_log(levels)
    assert list(found) == [
        "expert/a/level_1/shared_0",
        "expert/a/level_1/shared_1",
        "gate_entropy/a/level_1",
        "expert/b/level_2/shared_0",
        "expert/b/level_2/shared_1",
        "gate_entropy/b/level_2",
        "dead_experts",
    ]
    assert found["dead_experts"] == 0.25


def test_a_name_costs_time_so_there_are_not_too_many() -> None:
    tasks = [f"t{i}" for i in range(10)]
    use = ExpertUse({f"e{i}": tasks for i in range(10)})
    for task in tasks:
        use.note(task, torch.full((10,), 0.1))
    found = expert_log([use])
    assert sum(name.startswith("expert/") for name in found) == 64
    assert sum(name.startswith("gate_entropy/") for name in found) == 10


def test_without_experts_there_is_nothing() -> None:
    assert expert_log([]) == {}
    assert expert_log([ExpertUse({"e": BOTH})]) == {}
