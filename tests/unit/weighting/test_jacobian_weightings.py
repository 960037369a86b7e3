"""Jacobian methods: against their formulas, written as loops over steps and tasks, and what they ask of a device."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.weighting import JacobianWeighting
from mtl_lightning.weighting.db_mtl import DBMTL
from mtl_lightning.weighting.excess_mtl import ExcessMTL
from mtl_lightning.weighting.graddrop import GradDrop
from mtl_lightning.weighting.mgda import MGDA
from mtl_lightning.weighting.moco import MoCo, project_on_simplex
from mtl_lightning.weighting.sam_gs import SAMGS, mean_similarity

FACTORIES: dict[str, Callable[[Sequence[str]], JacobianWeighting]] = {
    "db-mtl": DBMTL,
    "db-mtl-falling": partial(DBMTL, beta_sigma=0.5),
    "db-mtl-no-average": partial(DBMTL, beta=0.0),
    "excess-mtl": ExcessMTL,
    "graddrop": partial(GradDrop, seed=0),
    "graddrop-leak": partial(GradDrop, leak=0.3, seed=0),
    "moco": MoCo,
    "moco-as-they-are": partial(MoCo, normalize=False, rho=0.1),
    "sam-gs": SAMGS,
    "sam-gs-momentum": partial(SAMGS, gamma=0.0),
}
EVERYONE = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
NAMES = ["a", "b", "c"]
NUM_PARAMETERS = 20


def prepared(factory: Callable[[Sequence[str]], Any], num_tasks: int = 3, num_parameters: int = NUM_PARAMETERS) -> Any:
    weighting = factory([f"task{i}" for i in range(num_tasks)])
    weighting.prepare(num_parameters)
    return weighting.double()


def steps(*present: Sequence[int], seed: int = 0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Jacobian, losses and tasks of steps in which the given tasks are present."""
    generator = torch.Generator().manual_seed(seed)
    for tasks in present:
        jacobian = torch.randn(len(tasks), NUM_PARAMETERS, generator=generator, dtype=torch.float64)
        losses = torch.rand(len(tasks), generator=generator).double() + 0.5
        yield jacobian, losses, torch.tensor(tasks)


MIXED = ([0, 1, 2], [2], [0, 2], [0, 1, 2], [1], [0, 1, 2])


@EVERYONE
@pytest.mark.parametrize("num_tasks", [2, 3, 8, 32])
def test_contract(factory: Callable[[Sequence[str]], JacobianWeighting], num_tasks: int) -> None:
    check_weighting(factory, num_tasks)


# -- GradDrop ----------------------------------------------------------------------------------------------------------
def graddrop_reference(jacobian: Tensor, draws: Tensor, leaks: Sequence[float]) -> Tensor:
    purity = (1 + jacobian.sum(0) / jacobian.abs().sum(0)) / 2
    direction = torch.zeros_like(purity)
    for gradient, leak in zip(jacobian, leaks, strict=True):
        mask = (purity > draws) * (gradient > 0) + (purity < draws) * (gradient < 0)
        direction += (leak + (1 - leak) * mask) * gradient
    return direction


def test_graddrop_is_the_masks_of_the_paper() -> None:
    weighting, twin = GradDrop(NAMES, leak={"a": 0.2, "c": 1.0}, seed=3), GradDrop(NAMES, seed=3)
    leaks = [0.2, 0.0, 1.0]
    for jacobian, losses, tasks in steps(*MIXED):
        draws = torch.rand(NUM_PARAMETERS, generator=twin.generator())
        expected = graddrop_reference(jacobian, draws, [leaks[task] for task in tasks])
        torch.testing.assert_close(weighting.double()(jacobian, losses, tasks), expected)


def test_graddrop_keeps_one_sign_with_the_probability_of_the_purity() -> None:
    jacobian = torch.tensor([[3.0], [-1.0], [2.0]]).expand(3, 20_000)
    direction = GradDrop(NAMES, seed=0)(jacobian, torch.ones(3), torch.arange(3))
    assert direction.unique().tolist() == [-1.0, 5.0]
    assert abs((direction > 0).double().mean() - 5 / 6) < 0.01


@pytest.mark.parametrize("leak", [1.0, dict.fromkeys(NAMES, 1.0)])
def test_graddrop_with_full_leak_is_the_sum(leak: Any) -> None:
    for jacobian, losses, tasks in steps([0, 1, 2]):
        torch.testing.assert_close(GradDrop(NAMES, leak)(jacobian, losses, tasks), jacobian.sum(0))


def test_graddrop_keeps_parameters_that_tasks_agree_on() -> None:
    for jacobian, losses, tasks in steps([0, 1, 2]):
        torch.testing.assert_close(GradDrop(NAMES)(jacobian.abs(), losses, tasks), jacobian.abs().sum(0))


def test_graddrop_draws_anew_in_each_step_and_the_same_from_the_same_seed() -> None:
    first, second = GradDrop(NAMES, seed=1), GradDrop(NAMES, seed=1)
    (jacobian, losses, tasks), *_ = steps([0, 1, 2])
    ours = [first(jacobian, losses, tasks) for _ in range(2)]
    assert not torch.equal(*ours)
    assert all(torch.equal(second(jacobian, losses, tasks), expected) for expected in ours)


# -- DB-MTL ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("beta", "sigma"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.5)])
def test_db_mtl_is_the_algorithm_of_the_paper(beta: float, sigma: float) -> None:
    weighting = prepared(partial(DBMTL, beta=beta, beta_sigma=sigma))
    averages, counts = [torch.zeros(NUM_PARAMETERS).double() for _ in NAMES], [0, 0, 0]
    for jacobian, losses, tasks in steps(*MIXED):
        for row, task in enumerate(tasks.tolist()):
            counts[task] += 1
            kept = beta / counts[task] ** sigma
            averages[task] = kept * averages[task] + (1 - kept) * jacobian[row] / (losses[row] + 1e-8)
        longest = max(averages[task].norm() for task in tasks)
        expected = sum(longest * averages[task] / averages[task].norm() for task in tasks)
        torch.testing.assert_close(weighting(jacobian, losses, tasks), expected)


def test_db_mtl_differentiates_logarithms() -> None:
    shared = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64, requires_grad=True)
    losses = torch.stack([(shared**2).sum(), (shared - 1).abs().sum()])
    rows = torch.stack([torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses])
    logs = torch.stack([torch.autograd.grad(loss.log(), shared, retain_graph=True)[0] for loss in losses])
    found = DBMTL(["a", "b"], beta=0.0)(rows, losses.detach(), torch.arange(2))
    expected = (logs / logs.norm(dim=1, keepdim=True)).sum(0) * logs.norm(dim=1).max()
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0.0)


def test_db_mtl_gives_every_task_the_same_length() -> None:
    jacobian = torch.eye(3) * torch.tensor([1e-6, 1.0, 1e6])
    found = DBMTL(NAMES, beta=0.0)(jacobian, torch.ones(3), torch.arange(3))
    torch.testing.assert_close(found, torch.full((3,), 1e6))


def test_db_mtl_keeps_no_gradients_without_an_average() -> None:
    weighting = DBMTL(NAMES, beta=0.0)
    weighting.prepare(10)
    assert list(weighting.buffers()) == []


def test_db_mtl_of_losses_without_a_logarithm() -> None:
    """A loss of zero has nothing to gain, whatever its gradient; a negative one is not defined."""
    for jacobian, losses, tasks in steps([0, 1, 2]):
        for loss in (0.0, 1e-30, -1.0):
            losses[1] = loss
            found = DBMTL(NAMES, beta=0.0)(jacobian.float(), losses.float(), tasks)
            assert found.isfinite().all() == (loss >= 0)
            if loss == 0:
                expected = DBMTL(NAMES, beta=0.0)(jacobian[[0, 2]].float(), losses[[0, 2]].float(), tasks[[0, 2]])
                torch.testing.assert_close(found, expected)
            elif loss > 0:
                assert found.double() @ jacobian[1] > 0


# -- MoCo --------------------------------------------------------------------------------------------------------------
def simplex_reference(point: Tensor) -> Tensor:
    """By bisection for the threshold."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (point - middle).clamp(min=0).sum() > 1 else (low, middle)
    return (point - low).clamp(min=0)


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_projection_on_the_simplex(num_tasks: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        point = torch.randn(num_tasks, generator=generator, dtype=torch.float64) * scale
        torch.testing.assert_close(project_on_simplex(point), simplex_reference(point), rtol=1e-9, atol=1e-9)


def test_projection_of_points_far_away() -> None:
    point = torch.tensor([1e20, -1e20, 1e20, 3.0], dtype=torch.float64)
    assert project_on_simplex(point).tolist() == [0.5, 0.0, 0.5, 0.0]
    assert project_on_simplex(torch.full((4,), -1e30)).tolist() == [0.25] * 4


@pytest.mark.parametrize("normalize", [True, False])
def test_moco_is_the_algorithm_of_the_paper(normalize: bool) -> None:
    weighting = prepared(partial(MoCo, beta=0.6, gamma=0.05, rho=0.2, normalize=normalize))
    tracked, weights = torch.zeros(3, NUM_PARAMETERS).double(), torch.full((3,), 1 / 3).double()
    for step, (jacobian, losses, tasks) in enumerate(steps(*[[0, 1, 2]] * 6), start=1):
        rows = jacobian / jacobian.norm(dim=1, keepdim=True) * losses[:, None] if normalize else jacobian
        tracked = tracked - 0.6 / step**0.5 * (tracked - rows)
        slope = (tracked @ tracked.T + 0.2 * torch.eye(3)) @ weights
        weights = simplex_reference(weights - 0.05 / step**0.5 * slope)
        torch.testing.assert_close(weighting(jacobian, losses, tasks), weights @ tracked, rtol=1e-6, atol=1e-6)


def test_moco_finds_the_shortest_combination_of_constant_gradients() -> None:
    jacobian = torch.tensor([[1.0, 0.2, 0.0], [-0.6, 1.0, 0.3], [0.5, 0.5, 2.0]]).double()
    weighting = prepared(partial(MoCo, beta=1.0, beta_sigma=0.0, gamma_sigma=0.0, normalize=False), num_parameters=3)
    for _ in range(500):
        found = weighting(jacobian, torch.ones(3).double(), torch.arange(3))
    shortest = MGDA(NAMES)(jacobian @ jacobian.T, torch.ones(3).double(), torch.arange(3)) @ jacobian
    torch.testing.assert_close(found, shortest, rtol=1e-6, atol=1e-6)


def test_moco_leaves_absent_tasks_alone() -> None:
    weighting = prepared(MoCo)
    for jacobian, losses, tasks in steps([0, 1, 2], [0, 2], [1]):
        before = {name: buffer.clone() for name, buffer in weighting.named_buffers()}
        weighting(jacobian, losses, tasks)
        absent = [task for task in range(3) if task not in tasks]
        for name in ("tracked", "steps", "weights"):
            assert torch.equal(weighting.get_buffer(name)[absent], before[name][absent])
        torch.testing.assert_close(weighting.weights.sum(), torch.tensor(1.0).double())


def test_moco_follows_a_task_that_is_alone() -> None:
    weighting = prepared(partial(MoCo, beta=1.0, beta_sigma=0.0, normalize=False))
    weighting.weights.copy_(torch.tensor([1.0, 0.0, 0.0]))
    for jacobian, losses, tasks in steps([2], [0]):
        torch.testing.assert_close(weighting(jacobian, losses, tasks), jacobian[0])
    assert weighting.weights.tolist() == [1.0, 0.0, 0.0]


# -- SAM-GS ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gamma", [0.0, 0.7, 0.9, 1.0])
def test_sam_gs_is_the_algorithm_of_the_paper(gamma: float) -> None:
    weighting = prepared(partial(SAMGS, beta1=0.6, beta2=0.8, gamma=gamma))
    momenta, counts, square = torch.zeros(3, NUM_PARAMETERS).double(), [0, 0, 0], 0.0
    ways = set()
    for step, (jacobian, losses, tasks) in enumerate(steps(*MIXED), start=1):
        jacobian = jacobian * torch.tensor([[1.0], [2.0], [3.0]])[tasks] ** (step % 2)
        lengths = [float(row.norm()) for row in jacobian]
        pairs = [(a, b) for i, a in enumerate(lengths) for b in lengths[:i]]
        similarity = sum(2 * a * b / (a**2 + b**2) for a, b in pairs) / len(pairs) if pairs else 1.0
        square = 0.8 * square + 0.2 * (1 - similarity) ** 2 + 1e-8
        equal = torch.zeros(NUM_PARAMETERS).double()
        modulated = torch.zeros(NUM_PARAMETERS).double()
        for row, task, length in zip(jacobian, tasks.tolist(), lengths, strict=True):
            counts[task] += 1
            momenta[task] = 0.6 * momenta[task] + 0.4 * row
            momentum = momenta[task] / (1 - 0.6 ** counts[task])
            modulated += row * momentum.abs() / (square / (1 - 0.8**step)) ** 0.5
            equal += row / length * sum(lengths) / len(lengths)
        ways.add(similarity < gamma)
        expected = equal if similarity < gamma else modulated
        torch.testing.assert_close(weighting(jacobian, losses, tasks), expected)
    assert len(ways) == (1 if gamma == 0 else 2)


def test_sam_gs_leaves_out_a_task_without_a_gradient() -> None:
    for gamma in (0.0, 1.0):
        for jacobian, losses, tasks in steps([0, 1, 2]):
            jacobian[1] = 0
            found = prepared(partial(SAMGS, gamma=gamma))(jacobian, losses, tasks)
            others = prepared(partial(SAMGS, gamma=gamma))(jacobian[[0, 2]], losses[[0, 2]], tasks[[0, 2]])
            torch.testing.assert_close(found, others)


def test_sam_gs_leaves_absent_tasks_alone() -> None:
    weighting = prepared(SAMGS)
    for jacobian, losses, tasks in steps([0, 1, 2], [0, 2], [1]):
        before = {name: buffer.clone() for name, buffer in weighting.named_buffers()}
        weighting(jacobian, losses, tasks)
        absent = [task for task in range(3) if task not in tasks]
        for name in ("momenta", "steps"):
            assert torch.equal(weighting.get_buffer(name)[absent], before[name][absent])


def test_the_similarity_of_lengths() -> None:
    for norms, expected in (([5.0], 1.0), ([0.0, 0.0], 1.0), ([2.0, 2.0], 1.0), ([1e-10, 1e10], 2e-20)):
        found = mean_similarity(torch.tensor(norms).double())
        torch.testing.assert_close(found, torch.tensor(expected).double(), atol=0, rtol=1e-6)


# -- ExcessMTL ---------------------------------------------------------------------------------------------------------
def test_excess_mtl_is_the_formula_of_the_paper() -> None:
    weighting = prepared(partial(ExcessMTL, robust_step_size=0.3))
    squares, initial = torch.zeros(3, NUM_PARAMETERS).double(), torch.zeros(3).double()
    weights = torch.ones(3).double()
    for jacobian, losses, tasks in steps(*MIXED):
        total = weights[tasks].sum()
        for row, task in enumerate(tasks.tolist()):
            squares[task] += jacobian[row] ** 2
            risk = jacobian[row] @ (jacobian[row] / squares[task].sqrt())
            initial[task] = risk if initial[task] == 0 else initial[task]
            weights[task] *= torch.exp(0.3 * risk / initial[task])
        weights[tasks] *= total / weights[tasks].sum()
        torch.testing.assert_close(weighting(jacobian, losses, tasks), weights[tasks] @ jacobian)


def test_excess_mtl_starts_from_the_sum() -> None:
    for jacobian, losses, tasks in steps([0, 1, 2]):
        torch.testing.assert_close(prepared(ExcessMTL)(jacobian, losses, tasks), jacobian.sum(0))


def test_excess_mtl_favours_the_task_that_does_not_converge() -> None:
    weighting = prepared(partial(ExcessMTL, robust_step_size=0.1), num_tasks=2)
    for step, (jacobian, losses, tasks) in enumerate(steps(*[[0, 1]] * 50)):
        weighting(jacobian * torch.tensor([[1.0], [0.9**step]]), losses, tasks)
    weights = weighting.log_weights.exp()
    assert weights[0] > 1.2
    torch.testing.assert_close(weights.sum(), torch.tensor(2.0).double())


def test_excess_mtl_does_not_depend_on_the_scale_of_a_task() -> None:
    ours, scaled = prepared(ExcessMTL), prepared(ExcessMTL)
    scales = torch.tensor([[1e-8], [1.0], [1e8]])
    for jacobian, losses, tasks in steps(*[[0, 1, 2]] * 5):
        ours(jacobian, losses, tasks)
        scaled(jacobian * scales, losses, tasks)
    torch.testing.assert_close(ours.log_weights, scaled.log_weights)


def test_excess_mtl_survives_a_task_that_awakes() -> None:
    weighting = ExcessMTL(NAMES, robust_step_size=1.0)
    weighting.prepare(NUM_PARAMETERS)
    for step, (jacobian, losses, tasks) in enumerate(steps(*[[0, 1, 2]] * 20)):
        found = weighting((jacobian * torch.tensor([[1.0], [0.0], [1.0]]) ** (20 - step)).float(), losses, tasks)
        assert found.isfinite().all()


# -- device and precision ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("factory", [f for name, f in FACTORIES.items() if not name.startswith("graddrop")])
def test_nothing_is_read_from_the_device(factory: Callable[[Sequence[str]], JacobianWeighting]) -> None:
    weighting = factory(NAMES)
    weighting.prepare(NUM_PARAMETERS)
    weighting = weighting.to("meta")  # a device that has no numbers: reading one raises
    for tasks in ([0, 1, 2], [1]):
        jacobian = torch.empty(len(tasks), NUM_PARAMETERS, device="meta")
        found = weighting(jacobian, torch.empty(len(tasks), device="meta"), torch.tensor(tasks, device="meta"))
        assert (found.shape, found.device.type) == ((NUM_PARAMETERS,), "meta")


def test_nothing_is_read_from_the_device_by_graddrop(monkeypatch: pytest.MonkeyPatch) -> None:
    weighting = GradDrop(NAMES, leak=0.5).to("meta")
    monkeypatch.setattr(weighting, "generator", lambda device: None)
    jacobian = torch.empty(2, NUM_PARAMETERS, device="meta")
    found = weighting(jacobian, torch.empty(2, device="meta"), torch.tensor([0, 2], device="meta"))
    assert (found.shape, found.device.type) == ((NUM_PARAMETERS,), "meta")


@EVERYONE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_precision_is_that_of_the_gradients(factory: Any, dtype: torch.dtype) -> None:
    weighting, exact = factory(NAMES), prepared(factory)
    weighting.prepare(NUM_PARAMETERS)
    for jacobian, losses, tasks in steps(*MIXED):
        found = weighting(jacobian.to(dtype), losses.float(), tasks)
        assert found.dtype == dtype
        if dtype != torch.bfloat16:
            torch.testing.assert_close(found.double(), exact(jacobian, losses, tasks), rtol=1e-4, atol=1e-4)


@EVERYONE
def test_averages_are_not_lowered_to_half_precision(factory: Any) -> None:
    weighting = factory(NAMES)
    weighting.prepare(NUM_PARAMETERS)
    assert all(buffer.dtype in (torch.float32, torch.float64) for buffer in weighting.to(torch.bfloat16).buffers())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DBMTL(["a"], beta=1.0), "`beta` must be from 0 to below 1, found 1.0"),
        (lambda: DBMTL(["a"], beta_sigma=-1.0), "`beta_sigma` must be a finite number of at least 0, found -1.0"),
        (lambda: ExcessMTL(["a"], robust_step_size=0.0), "`robust_step_size` must be a finite number above 0"),
        (lambda: SAMGS(["a"], beta1=1.0), "`beta1` must be from 0 to below 1, found 1.0"),
        (lambda: SAMGS(["a"], beta2=-0.1), "`beta2` must be from 0 to below 1, found -0.1"),
        (lambda: SAMGS(["a"], gamma=1.1), "`gamma` must be from 0 to 1, found 1.1"),
        (lambda: GradDrop(["a"], leak=1.5), "`leak` must be from 0 to 1, found 1.5"),
        (lambda: GradDrop(["sentiment"], leak={"sentimen": 0.5}), "did you mean 'sentiment'?"),
        (lambda: MoCo(["a"], beta=2.0), "`beta` must be at most 1, found 2.0"),
        (lambda: MoCo(["a"], gamma=-1.0), "`gamma` must be a finite number above 0, found -1.0"),
        (lambda: MoCo(["a"], rho=-1.0), "`rho` must be a finite number of at least 0, found -1.0"),
    ],
)
def test_arguments_are_checked(make: Callable[[], JacobianWeighting], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        make()
