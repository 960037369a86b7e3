"""Loss terms that are no task's: their gradient is added as it is, whatever the weighting does."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.weighting import (
    MGDA,
    EqualWeighting,
    GradVac,
    GramianWeighting,
    JacobianWeighting,
    LossWeighting,
    MoCo,
    UncertaintyWeighting,
    UPGrad,
)

FAMILIES = [EqualWeighting, UncertaintyWeighting, UPGrad, MGDA, GradVac, MoCo]
WAYS: list[tuple[Any, dict[str, Any]]] = [
    *((family, {}) for family in FAMILIES),
    *((family, {"refresh_every": 2}) for family in FAMILIES if not issubclass(family, JacobianWeighting)),
    *((family, {"gradient_of": "half"}) for family in FAMILIES if issubclass(family, GramianWeighting)),
]


class Model:
    """Two heads on one layer, and a term of both its layer and one of the heads."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.shared = nn.Linear(3, 4, dtype=torch.float64)
        self.heads = {task: nn.Linear(4, 1, dtype=torch.float64) for task in "ab"}
        self.inputs = torch.randn(5, 3, dtype=torch.float64)

    def losses(self) -> dict[str, Tensor]:
        hidden = self.shared(self.inputs).tanh()
        return {task: head(hidden).square().mean() for task, head in self.heads.items()}

    def term(self) -> Tensor:
        return self.shared.weight.square().sum() + self.heads["b"].weight.square().sum()

    def step(self, family: Any, terms: bool, factor: float = 1.0, **options: Any) -> list[Tensor]:
        executor = Executor(
            family(["a", "b"]), self.shared.parameters(), {t: h.parameters() for t, h in self.heads.items()}, **options
        )
        for _ in range(2):
            self.forget()
            named: Mapping[str, Tensor] = {"balance": 0.3 * self.term()} if terms else {}
            executor.add(self.losses(), terms=named)
            step = executor.combine()
            assert list(step.terms or {}) == list(named)
            executor.backward(step.objective * factor)
        return [parameter.grad for parameter in self.parameters() if parameter.grad is not None]

    def parameters(self) -> list[nn.Parameter]:
        return [*self.shared.parameters(), *(p for head in self.heads.values() for p in head.parameters())]

    def forget(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None


@pytest.mark.parametrize(("family", "options"), WAYS, ids=str)
def test_the_gradient_of_a_term_is_added(family: Any, options: dict[str, Any]) -> None:
    model = Model()
    if "gradient_of" in options:
        options = {"gradient_of": [model.shared.weight]}
    torch.manual_seed(1)
    without = model.step(family, terms=False, factor=0.5, **options)
    torch.manual_seed(1)
    found = model.step(family, terms=True, factor=0.5, **options)
    term = torch.autograd.grad(0.15 * model.term(), model.parameters(), allow_unused=True)
    for gradient, before, added in zip(found, without, term, strict=True):
        torch.testing.assert_close(gradient, before + (0 if added is None else added))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_term_that_is_not_finite_skips_the_step(family: Any) -> None:
    model = Model()
    executor = Executor(
        family(["a", "b"]), model.shared.parameters(), {t: h.parameters() for t, h in model.heads.items()}
    )
    executor.add(model.losses(), terms={"balance": model.term() * torch.inf})
    executor.backward(executor.combine().objective)
    assert executor.not_finite == ("loss term 'balance'",)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_objective_holds_the_terms() -> None:
    model = Model()
    executor = Executor(
        EqualWeighting(["a", "b"]), model.shared.parameters(), {t: h.parameters() for t, h in model.heads.items()}
    )
    executor.add(model.losses(), terms={"one": torch.tensor(1.0), "two": torch.tensor(2.0)})
    step = executor.combine()
    torch.testing.assert_close(step.objective, sum(model.losses().values()) + 3)
    executor.backward(step.objective)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_several_batches_tells_the_mean_of_a_term(family: Any) -> None:
    model = Model()
    executor = Executor(
        family(["a", "b"]), model.shared.parameters(), {t: h.parameters() for t, h in model.heads.items()}
    )
    told = []
    for number in range(3):
        executor.add(model.losses(), terms={"balance": model.term() * number})
        step = executor.combine(last=number == 2)
        executor.backward(step.objective / 3)
        told += [(step.objective - sum(step.losses.values()), step.terms["balance"])] if step.terms else []
    model.forget()
    each = 1 if issubclass(family, LossWeighting) else 3  # a loss weighting is asked about each batch
    assert len(told) == 3 // each
    torch.testing.assert_close(sum(term for _, term in told) * each / 3, model.term().detach())
    if family is not UncertaintyWeighting:
        for rest, term in told:
            torch.testing.assert_close(rest, term)


@pytest.mark.parametrize(("family", "options"), WAYS, ids=str)
def test_a_term_may_spoil_the_head_of_a_task_that_has_no_labels(family: Any, options: dict[str, Any]) -> None:
    model = Model()
    head = model.heads["b"].weight
    if "gradient_of" in options:
        options = {"gradient_of": [model.shared.weight]}
    executor = Executor(
        family(["a", "b"]), model.shared.parameters(), {t: h.parameters() for t, h in model.heads.items()}, **options
    )
    for _ in range(2):
        executor.add({"a": model.losses()["a"]}, terms={"length": (head * 0).square().sum().sqrt()})
        executor.backward(executor.combine().objective)
        assert executor.not_finite
        assert all(parameter.grad is None for parameter in model.parameters())
