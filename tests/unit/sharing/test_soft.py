"""Soft sharing: separate encoders and what ties them."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import SeparateEncoders, Sharing, SoftSharing
from mtl_lightning.sharing.trace_norm import trace_norm
from mtl_lightning.weighting import EqualWeighting, UPGrad

TASKS = ["a", "b", "c"]


def made(coefficient: float | None, norm: str = "l2", noise: float = 0.0) -> tuple[PerceptronEncoder, Sharing]:
    torch.manual_seed(0)
    encoder = PerceptronEncoder(5, [4, 6]).double()
    soft: dict[str, Any] = {} if coefficient is None else {"coefficient": coefficient, "norm": norm}
    sharing: Sharing = (SoftSharing if soft else SeparateEncoders)(TASKS, encoder, **soft)
    for parameter in (*encoder.parameters(), *sharing.parameters()):
        parameter.data += noise * torch.randn_like(parameter)
    return encoder, sharing


def by_task(encoder: nn.Module, sharing: Sharing) -> list[list[nn.Parameter]]:
    return [list(module.parameters()) for module in (encoder, *(copy for copy, _ in sharing.copies()))]


def train(coefficient: float | None, norm: str = "l2", family: type = EqualWeighting) -> list[list[nn.Parameter]]:
    """Each task's parameters after some steps, of which one misses a task."""
    encoder, sharing = made(coefficient, norm)
    executor = Executor(family(TASKS), sharing.shared_parameters(), {t: sharing.own_parameters(t) for t in TASKS})
    optimizer = torch.optim.AdamW([*encoder.parameters(), *sharing.parameters()], lr=0.01)
    inputs, targets = torch.randn(16, 5).double(), torch.randn(3, 16, 6).double()
    for step in range(30):
        optimizer.zero_grad()
        present = TASKS if step != 3 else TASKS[:2]
        found = sharing({"features": inputs}, present)
        losses = {task: (found[task].pooled - targets[TASKS.index(task)]).square().mean() for task in present}
        executor.add(losses, terms=sharing.terms())
        executor.backward(executor.combine().objective)
        optimizer.step()
    return by_task(encoder, sharing)


def spread(parameters: list[list[nn.Parameter]]) -> float:
    stacks = [torch.stack(copies).detach() for copies in zip(*parameters, strict=True)]
    return sum(float(stack.var(0).sum()) for stack in stacks) / sum(float(stack.square().sum()) for stack in stacks)


def rank(parameters: list[list[nn.Parameter]]) -> float:
    """Sum of singular values over the largest, of all weights: 1 where the encoders are multiples of one."""
    stacks = [
        torch.stack(copies).detach().flatten(1) for copies in zip(*parameters, strict=True) if copies[0].dim() > 1
    ]
    values = torch.stack([torch.linalg.svdvals(stack) for stack in stacks])
    return float((values.sum(1) / values[:, 0]).mean())


def test_l2_is_half_the_sum_over_pairs() -> None:
    encoder, sharing = made(0.3, noise=0.5)
    parts = by_task(encoder, sharing)
    pairs = [(s - t).square().sum() for a, b in combinations(parts, 2) for s, t in zip(a, b, strict=True)]
    wanted = 0.3 / 2 * torch.stack(pairs).sum()
    found = sharing.terms()["soft_sharing"]
    torch.testing.assert_close(found, wanted)
    flat = [parameter for part in parts for parameter in part]
    for mine, theirs in zip(torch.autograd.grad(found, flat), torch.autograd.grad(wanted, flat), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_trace_norm_is_that_of_the_stacked_weights() -> None:
    encoder, sharing = made(0.3, "trace", noise=0.5)
    parts = by_task(encoder, sharing)
    stacks = [torch.stack(copies).flatten(1) for copies in zip(*parts, strict=True) if copies[0].dim() > 1]
    wanted = 0.3 * torch.stack([torch.linalg.matrix_norm(stack, "nuc") for stack in stacks]).sum()
    found = sharing.terms()["soft_sharing"]
    torch.testing.assert_close(found, wanted)
    weights = [parameter for part in parts for parameter in part if parameter.dim() > 1]
    for mine, theirs in zip(torch.autograd.grad(found, weights), torch.autograd.grad(wanted, weights), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_trace_norm_where_rows_are_nearly_dependent(dtype: torch.dtype, scale: float) -> None:
    torch.manual_seed(1)
    shared = torch.randn(1, 50, dtype=torch.float64)
    for noise in (0.0, 1e-3, 0.1):
        exact = scale * (shared + noise * torch.randn(4, 50, dtype=torch.float64))
        matrix = exact.to(dtype).requires_grad_()
        found = trace_norm([matrix])
        torch.testing.assert_close(found.double(), torch.linalg.matrix_norm(exact, "nuc"), rtol=1e-4, atol=0.0)
        (gradient,) = torch.autograd.grad(found, matrix)
        values = torch.linalg.svdvals(gradient.double())
        kept = 1 if noise == 0.0 else 4
        torch.testing.assert_close(values[:kept], torch.ones(kept).double(), rtol=1e-3, atol=0.0)
        assert (values[kept:] < 1e-2).all()


def test_trace_norm_of_nothing() -> None:
    matrix = torch.zeros(3, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(trace_norm([matrix]), matrix)
    assert not gradient.any()


@pytest.mark.parametrize("norm", ["l2", "trace"])
@pytest.mark.parametrize("family", [EqualWeighting, UPGrad])
def test_without_a_coefficient_it_is_separate_encoders(norm: str, family: type) -> None:
    for mine, theirs in zip(train(0.0, norm, family), train(None, family=family), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_the_larger_the_coefficient_the_nearer_the_encoders() -> None:
    spreads = [spread(train(coefficient)) for coefficient in (0.0, 0.1, 1.0)]
    assert spreads[0] > 3 * spreads[1] > 60 * spreads[2]


def test_the_larger_the_coefficient_the_lower_the_rank() -> None:
    ranks = [rank(train(coefficient, "trace")) for coefficient in (0.0, 0.1, 1.0)]
    assert ranks[0] > ranks[1] + 0.05 > ranks[2] + 0.1


@pytest.mark.parametrize("norm", ["l2", "trace"])
def test_what_is_frozen_is_not_tied(norm: str) -> None:
    encoder, sharing = made(0.5, norm, noise=0.5)
    whole = sharing.terms()["soft_sharing"]
    for copies in zip(*by_task(encoder, sharing), strict=True):
        if copies[0].shape[0] == 4:
            for copy in copies:
                copy.requires_grad_(False)
    assert 0 < sharing.terms()["soft_sharing"] < whole
    for parameter in (*encoder.parameters(), *sharing.parameters()):
        parameter.requires_grad_(False)
    assert sharing.terms()["soft_sharing"] == 0


@pytest.mark.parametrize("norm", ["l2", "trace"])
def test_reduced_precision_takes_nothing_from_the_term(norm: str) -> None:
    encoder, sharing = made(0.5, norm, noise=0.01)
    encoder.float(), sharing.float()
    wanted = sharing.terms()["soft_sharing"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sharing.terms()["soft_sharing"]
    assert torch.equal(found, wanted) and found.dtype == torch.float32
    assert torch.autograd.grad(found, next(encoder.parameters()))[0].any()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"coefficient": -1.0}, "`coefficient` must be a finite number of at least 0, found -1.0"),
        ({"norm": "l1"}, "`norm` must be one of l2, trace, found 'l1'"),
    ],
    ids=["coefficient", "norm"],
)
def test_options_that_are_none_are_refused(options: dict[str, float], line: str) -> None:
    with pytest.raises(UserError, match=f"^model.sharing: {line}$"):
        SoftSharing(TASKS, PerceptronEncoder(5, [4]), **options)  # type: ignore[arg-type]


def test_one_task_has_nothing_to_be_tied_to() -> None:
    sharing = SoftSharing(["a"], PerceptronEncoder(5, [4]), 1.0)
    term: Tensor = sharing.terms()["soft_sharing"]
    assert term == 0
