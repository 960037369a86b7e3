"""The toy experiment computes what it says: the problem's gradients, its Pareto set, and descent as PyTorch would."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.toy.__main__ import main
from experiments.toy.descent import descend
from experiments.toy.methods import METHODS, PUBLISHED
from experiments.toy.problem import (
    MINIMA,
    PARETO_SET,
    STARTS,
    TOLERANCE,
    distance_to_front,
    evaluate,
    on_front,
)
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, gramian
from mtl_lightning.weighting.batches import of_equal_batches

PRESENT = torch.arange(2)
POINTS = np.concatenate(
    [
        STARTS,
        np.random.default_rng(0).uniform(-10, 10, (200, 2)),
        np.random.default_rng(1).uniform(-10, 10, (20, 1)) * [[1, 0]],
        [[-7, 0], [-7 + 9.9e-6, 0], [-7 + 1.01e-5, 0], [7, 0], [-5, 30], [-5 + 9e-6, 30], [5, 30], [5 - 1.1e-5, 30]],
    ]
)


def losses_in_torch(point: Tensor) -> Tensor:
    x1, x2 = point
    f1 = torch.clamp((0.5 * (-x1 - 7) - torch.tanh(-x2)).abs(), min=5e-6).log() + 6
    f2 = torch.clamp((0.5 * (-x1 + 3) + torch.tanh(-x2) + 2).abs(), min=5e-6).log() + 6
    g1 = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    g2 = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    c1 = torch.clamp(torch.tanh(0.5 * x2), min=0)
    c2 = torch.clamp(torch.tanh(-0.5 * x2), min=0)
    return torch.stack([0.1 * (c1 * f1 + c2 * g1), c1 * f2 + c2 * g2])


def descend_in_torch(method: str, start: int, steps: int) -> Tensor:
    torch.manual_seed(start)
    weighting = METHODS[method].make(("first", "second"))
    if isinstance(weighting, JacobianWeighting):
        weighting.prepare(2)
    weighting.double()
    shift = torch.from_numpy(MINIMA) * METHODS[method].shifted
    point = torch.tensor(STARTS[start], requires_grad=True)
    optimizer = torch.optim.Adam([point, *weighting.parameters()], lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        losses = losses_in_torch(point) - shift
        if isinstance(weighting, LossWeighting):
            weighting(losses, PRESENT).backward()
        else:
            rows = torch.stack([torch.autograd.grad(loss, point, retain_graph=True)[0] for loss in losses])
            if isinstance(weighting, GramianWeighting):
                point.grad = of_equal_batches(weighting, gramian(rows), losses.detach(), PRESENT) @ rows
            else:
                point.grad = weighting(rows, losses.detach(), PRESENT)
        optimizer.step()
        if weighting.needs_losses_after:
            weighting.on_step_end((losses_in_torch(point) - shift).detach(), PRESENT)
    return point.detach()


def test_losses_and_gradients_are_those_of_autograd() -> None:
    found = evaluate(POINTS)
    for point, losses, jacobian in zip(torch.from_numpy(POINTS), found.losses, found.jacobian, strict=True):
        expected = losses_in_torch(point)
        slopes = torch.autograd.functional.jacobian(losses_in_torch, point)
        where = f"in {point.tolist()}"
        np.testing.assert_allclose(losses, expected, rtol=1e-9, atol=1e-12, err_msg=where)
        np.testing.assert_allclose(jacobian, slopes, rtol=1e-7, atol=1e-12, err_msg=where)


def test_gradients_are_opposite_on_the_pareto_set() -> None:
    first, second = evaluate(PARETO_SET[1:-1]).jacobian.swapaxes(0, 1)
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    np.testing.assert_allclose(cosines, -1, atol=1e-9)
    best = evaluate(PARETO_SET[[0, -1]]).jacobian
    np.testing.assert_allclose([best[0, 0], best[1, 1]], 0, atol=1e-9)


def test_no_point_dominates_the_pareto_set() -> None:
    everywhere = np.random.default_rng(0).uniform(-15, 15, (50_000, 2))
    nearby = PARETO_SET[::28].repeat(100, axis=0) + np.random.default_rng(1).normal(0, 0.01, (10_100, 2))
    others = evaluate(np.concatenate([everywhere, nearby])).losses
    for losses in evaluate(PARETO_SET[::140]).losses:
        assert not (others < losses - 1e-9).all(axis=1).any()
    assert (others > MINIMA).all()


def test_distance_to_the_front() -> None:
    assert distance_to_front(PARETO_SET[5:6]) == pytest.approx(0)
    assert distance_to_front(np.array([[10.0, PARETO_SET[0, 1] + 4]])) == pytest.approx(5)
    shifted = np.array([0.0, -8.3551]) + np.array([[0, 0.9], [0, 1.1], [0, -1.1]]) * [[0, TOLERANCE]]
    assert on_front(shifted).tolist() == [True, False, False]
    assert not on_front(STARTS).any()


@pytest.mark.parametrize("method", ["Equal", "Uncertainty", "FAMO", "NashMTL", "GradDrop"])
def test_descent_is_that_of_torch(method: str) -> None:
    runs = [("CAGrad", 2), (method, 3), (method, 4)]
    ways = descend(runs, steps=200, every=100)
    assert ways.shape == (3, 3, 2)
    assert np.array_equal(ways[:, 0], STARTS[[2, 3, 4]])
    expected = [descend_in_torch(method, start, 200).numpy() for start in (3, 4)]
    np.testing.assert_allclose(ways[1:, -1], expected, rtol=0, atol=1e-7)


def test_all_methods_descend() -> None:
    ways = descend([(method, 3) for method in METHODS], steps=30, every=30)
    moved = np.abs(ways[:, 1] - ways[:, 0]).max(axis=1)
    assert ((moved > 0.01) & (moved < 0.1)).all(), dict(zip(METHODS, moved, strict=True))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--steps", "50", "--processes", "1", "--output", str(tmp_path / "new")])
    with (tmp_path / "new" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [method for method in PUBLISHED for _ in STARTS]
    assert [float(row["start1"]) for row in rows[:5]] == STARTS[:, 0].tolist()
    assert {row["on_front"] for row in rows} == {"0"}
    assert (tmp_path / "new" / "trajectories.png").read_bytes().startswith(b"\x89PNG")
    assert "MGDA" in capsys.readouterr().out
