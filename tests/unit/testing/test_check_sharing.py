"""The contract check of sharings passes ours, and catches those that break a rule."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiments.benchmark.sharings import exported
from mtl_lightning import sharing
from mtl_lightning.testing import check_sharing


@pytest.mark.parametrize("name", exported())
def test_our_sharings_pass(name: str) -> None:
    check_sharing(exported()[name])


class _Layers(sharing.Sharing):
    """A layer for each task; each subclass breaks a rule."""

    def __init__(self, tasks: Sequence[str], encoder: Any) -> None:
        super().__init__(tasks, encoder)
        self.layers = nn.ModuleDict({task: nn.Linear(encoder.features, encoder.features) for task in tasks})

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Any]:
        return {task: encoded._replace(pooled=self.layers[task](encoded.pooled)) for task in tasks}

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.layers[task].parameters())


class _OthersToo(_Layers):
    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.encoder.parameters())


class _Unused(_Layers):
    def __init__(self, tasks: Sequence[str], encoder: Any) -> None:
        super().__init__(tasks, encoder)
        self.idle = nn.Linear(2, 2)


class _Width(_Layers):
    def __init__(self, tasks: Sequence[str], encoder: Any) -> None:
        super().__init__(tasks, encoder)
        self.features = 3


class _AllTasks(_Layers):
    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Any]:
        found = super().share(encoded, tasks)
        return {task: each._replace(pooled=each.pooled / len(tasks)) for task, each in found.items()}


class _NamesVary(_Layers):
    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Any]:
        self.seen = {task: torch.zeros(()) for task in tasks}
        return super().share(encoded, tasks)

    def terms(self) -> dict[str, Tensor]:
        return self.seen


def test_a_sharing_that_keeps_to_the_rules_passes() -> None:
    check_sharing(_Layers)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (_OthersToo, "own_parameters"),
        (_Unused, "none came to"),
        (_Width, "must be"),
        (_AllTasks, "whoever else"),
        (_NamesVary, "the same names"),
    ],
)
def test_a_sharing_that_breaks_a_rule_is_told(broken: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_sharing(broken)
