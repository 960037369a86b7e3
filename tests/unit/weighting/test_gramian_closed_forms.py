"""Gramian methods that need no solver: against closed forms, against the Jacobian, against TorchJD."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.aggregation as torchjd
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.weighting import GramianWeighting, spectrum
from mtl_lightning.weighting.aligned_mtl import AlignedMTL
from mtl_lightning.weighting.con_fig import ConFIG
from mtl_lightning.weighting.gradnorm import GradNorm
from mtl_lightning.weighting.gradvac import GradVac, vaccinate
from mtl_lightning.weighting.imtl import IMTL
from mtl_lightning.weighting.imtl_g import IMTLG
from mtl_lightning.weighting.pcgrad import PCGrad, project, random_orders

FACTORIES: dict[str, Callable[[Sequence[str]], GramianWeighting]] = {
    "aligned-mtl": AlignedMTL,
    "aligned-mtl-median": partial(AlignedMTL, scale_mode="median"),
    "aligned-mtl-rmse": partial(AlignedMTL, scale_mode="rmse"),
    "config": ConFIG,
    "gradnorm": GradNorm,
    "gradvac": partial(GradVac, seed=0),
    "imtl": IMTL,
    "imtl-g": IMTLG,
    "pcgrad": partial(PCGrad, seed=0),
}
EVERYONE = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
_LOSS_FREE = {name: factory for name, factory in FACTORIES.items() if name not in ("gradnorm", "imtl")}
LOSS_FREE = pytest.mark.parametrize("factory", _LOSS_FREE.values(), ids=_LOSS_FREE)
PAIRS = pytest.mark.parametrize("cosine", [-0.99, -0.5, 0.0, 0.3, 0.95])
SIZES = pytest.mark.parametrize("num_tasks", [2, 3, 8, 32])
SCALES = pytest.mark.parametrize("scale", [1e-10, 1e-5, 1e5, 1e10])


def random_jacobian(num_tasks: int, num_parameters: int = 64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_tasks, num_parameters, generator=generator, dtype=torch.float64)


def pair(cosine: float, norms: tuple[float, float] = (1.0, 3.0)) -> Tensor:
    sine = (1 - cosine**2) ** 0.5
    return torch.tensor([[1.0, 0.0], [cosine, sine]], dtype=torch.float64) * torch.tensor(norms)[:, None].double()


def tasks_of(jacobian: Tensor) -> list[str]:
    return [f"task{i}" for i in range(len(jacobian))]


def weights_of(
    weighting: Callable[[Sequence[str]], GramianWeighting] | GramianWeighting, jacobian: Tensor, losses: Any = None
) -> Tensor:
    if not isinstance(weighting, GramianWeighting):
        weighting = weighting(tasks_of(jacobian))
    losses = torch.ones(len(jacobian)) if losses is None else torch.as_tensor(losses)
    answer: Tensor = weighting(jacobian @ jacobian.T, losses.double(), torch.arange(len(jacobian)))
    return answer


def direction_of(weighting: Any, jacobian: Tensor) -> Tensor:
    return weights_of(weighting, jacobian) @ jacobian


def cosines_with(direction: Tensor, jacobian: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(direction[None], jacobian)


@EVERYONE
@SIZES
def test_contract(factory: Callable[[Sequence[str]], GramianWeighting], num_tasks: int) -> None:
    check_weighting(factory, num_tasks)


# -- two tasks ---------------------------------------------------------------------------------------------------------
@PAIRS
def test_pcgrad_of_two_tasks(cosine: float) -> None:
    products = pair(cosine) @ pair(cosine).T
    conflict = min(float(products[0, 1]), 0.0)
    expected = torch.stack([1 - conflict / products[0, 0], 1 - conflict / products[1, 1]])
    torch.testing.assert_close(weights_of(PCGrad, pair(cosine)), expected)
    torch.testing.assert_close(weights_of(GradVac, pair(cosine)), expected)


@PAIRS
def test_imtl_g_of_two_tasks(cosine: float) -> None:
    torch.testing.assert_close(weights_of(IMTLG, pair(cosine)), torch.tensor([0.75, 0.25]).double())


@PAIRS
def test_config_of_two_tasks(cosine: float) -> None:
    jacobian = pair(cosine)
    bisector = torch.nn.functional.normalize(jacobian / jacobian.norm(dim=1, keepdim=True), dim=1).sum(0)
    bisector = bisector / bisector.norm()
    torch.testing.assert_close(direction_of(ConFIG, jacobian), (jacobian @ bisector).sum() * bisector)


@PAIRS
def test_aligned_mtl_of_two_tasks(cosine: float) -> None:
    products = pair(cosine) @ pair(cosine).T
    root = torch.linalg.det(products).sqrt()
    inverse_root = torch.linalg.inv(products + root * torch.eye(2)) * (products.trace() + 2 * root).sqrt()
    smallest = torch.linalg.eigvalsh(products)[0].sqrt()
    torch.testing.assert_close(weights_of(AlignedMTL, pair(cosine)), smallest * inverse_root.sum(1))


# -- against the gradients themselves ----------------------------------------------------------------------------------
def pcgrad_reference(jacobian: Tensor, orders: Any) -> Tensor:
    total = torch.zeros_like(jacobian[0])
    for row, others in zip(jacobian, orders, strict=True):
        gradient = row.clone()
        for j in others:
            if gradient @ jacobian[j] < 0:
                gradient -= gradient @ jacobian[j] / (jacobian[j] @ jacobian[j]) * jacobian[j]
        total += gradient
    return total


def gradvac_reference(jacobian: Tensor, orders: Any, targets: Tensor, beta: float) -> Tensor:
    total = torch.zeros_like(jacobian[0])
    for i, others in enumerate(orders):
        gradient = jacobian[i].clone()
        for j in others:
            cosine = gradient @ jacobian[j] / (gradient.norm() * jacobian[j].norm())
            target = targets[i, j].clone()
            if cosine < target:
                sine, target_sine = (1 - cosine**2).sqrt(), (1 - target**2).sqrt()
                size = gradient.norm() * (target * sine - cosine * target_sine) / (jacobian[j].norm() * target_sine)
                gradient += size * jacobian[j]
                turned = gradient @ jacobian[j] / (gradient.norm() * jacobian[j].norm())
                torch.testing.assert_close(turned, target, atol=1e-9, rtol=0)
            targets[i, j] = (1 - beta) * target + beta * cosine
        total += gradient
    return total


@SIZES
@pytest.mark.parametrize("num_parameters", [5, 200])
def test_pcgrad_is_the_loop_over_gradients(num_tasks: int, num_parameters: int) -> None:
    jacobian = random_jacobian(num_tasks, num_parameters) * torch.logspace(-3, 3, num_tasks)[:, None]
    norms = jacobian.norm(dim=1).numpy()
    unit = jacobian.numpy() / norms[:, None]
    orders = random_orders(num_tasks, torch.Generator().manual_seed(1))
    weights = norms @ project(unit @ unit.T, orders) / norms
    torch.testing.assert_close(torch.from_numpy(weights) @ jacobian, pcgrad_reference(jacobian, orders))


@SIZES
def test_gradvac_is_the_loop_over_gradients(num_tasks: int) -> None:
    targets, ours = torch.zeros(num_tasks, num_tasks).double(), np.zeros((num_tasks, num_tasks))
    for step in range(5):
        jacobian = random_jacobian(num_tasks, 200, seed=step) + 0.3 * random_jacobian(1, 200, seed=99)
        norms = jacobian.norm(dim=1).numpy()
        unit = jacobian.numpy() / norms[:, None]
        orders = random_orders(num_tasks, torch.Generator().manual_seed(step))
        weights = norms @ vaccinate(unit @ unit.T, orders, ours, beta=0.2) / norms
        expected = gradvac_reference(jacobian, orders, targets, beta=0.2)
        torch.testing.assert_close(torch.from_numpy(weights) @ jacobian, expected)
        np.testing.assert_allclose(ours, targets.numpy(), atol=1e-12)
    assert (ours != 0).any()


def test_orders_name_the_others_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(100):
        orders = random_orders(3, generator)
        assert [sorted(order) for order in orders.tolist()] == [[1, 2], [0, 2], [0, 1]]
        seen.add(tuple(orders.flatten().tolist()))
    assert len(seen) == 8


def test_orders_are_drawn_in_a_run_whose_numbers_are_of_half_precision() -> None:
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # as Lightning does for `bf16-true`
    try:
        found = random_orders(8, torch.Generator().manual_seed(0))
    finally:
        torch.set_default_dtype(usual)
    assert (found == random_orders(8, torch.Generator().manual_seed(0))).all()


def test_orders_differ_between_steps_and_seeds_but_not_between_processes() -> None:
    jacobian = random_jacobian(6, 4)
    first, second, other = (PCGrad(tasks_of(jacobian), seed=seed) for seed in (1, 1, 2))
    ours = [weights_of(first, jacobian) for _ in range(4)]
    assert all(torch.equal(weights_of(second, jacobian), expected) for expected in ours)
    assert not all(torch.equal(weights_of(other, jacobian), expected) for expected in ours)
    assert len({tuple(weights.tolist()) for weights in ours}) > 1


@SIZES
def test_imtl_g_is_the_formula_of_the_paper(num_tasks: int) -> None:
    jacobian = random_jacobian(num_tasks) * torch.logspace(-1, 1, num_tasks)[:, None]
    unit = jacobian / jacobian.norm(dim=1, keepdim=True)
    differences, unit_differences = jacobian[0] - jacobian[1:], unit[0] - unit[1:]
    others = jacobian[0] @ unit_differences.T @ torch.linalg.inv(differences @ unit_differences.T)
    torch.testing.assert_close(weights_of(IMTLG, jacobian), torch.cat([1 - others.sum(0, True), others]))


@SIZES
@pytest.mark.parametrize("num_parameters", [2, 5, 64])
def test_config_is_the_pseudo_inverse_of_the_directions(num_tasks: int, num_parameters: int) -> None:
    jacobian = random_jacobian(num_tasks, num_parameters) * torch.logspace(-3, 3, num_tasks)[:, None]
    unit = jacobian / jacobian.norm(dim=1, keepdim=True)
    along = torch.linalg.pinv(unit).sum(1)
    along = along / along.norm()
    torch.testing.assert_close(direction_of(ConFIG, jacobian), (jacobian @ along).sum() * along)


@SIZES
@pytest.mark.parametrize("num_parameters", [2, 5, 64])
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("scale_mode", ["min", "median", "rmse"])
def test_aligned_mtl_is_the_polar_factor(num_tasks: int, num_parameters: int, spread: float, scale_mode: Any) -> None:
    jacobian = random_jacobian(num_tasks, num_parameters) * torch.logspace(-spread, spread, num_tasks)[:, None]
    left, singular, right = torch.linalg.svd(jacobian, full_matrices=False)
    scale = {"min": singular[-1], "median": singular.median(), "rmse": singular.square().mean().sqrt()}[scale_mode]
    aligned = scale * left @ right
    found = direction_of(partial(AlignedMTL, scale_mode=scale_mode), jacobian)
    torch.testing.assert_close(found, aligned.sum(0), rtol=1e-6, atol=1e-8 * float(scale))


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e10])
def test_aligned_mtl_is_right_however_much_norms_differ(ratio: float) -> None:
    directions = random_jacobian(4)
    norms = torch.logspace(0, np.log10(ratio), 4, dtype=torch.float64)[:, None]
    aligned = direction_of(AlignedMTL, directions * norms)
    unit = directions / directions.norm(dim=1, keepdim=True)
    # the longest gradients keep their direction, the others what is orthogonal to them: Gram and Schmidt
    expected, _ = torch.linalg.qr(unit.flip(0).T)
    expected = (expected * (expected * unit.flip(0).T).sum(0).sign()).sum(1)
    assert torch.nn.functional.cosine_similarity(aligned, expected, dim=0) > 1 - 10 * ratio ** (-1 / 3)
    assert torch.isclose(aligned.norm(), 2 * torch.linalg.svdvals(directions * norms)[-1], rtol=1e-5)


# -- against TorchJD ---------------------------------------------------------------------------------------------------
@SIZES
def test_torchjd_agrees(num_tasks: int) -> None:
    jacobian = random_jacobian(num_tasks) * torch.logspace(-1, 1, num_tasks)[:, None]
    products = jacobian @ jacobian.T
    for mode in ("min", "median", "rmse"):
        theirs = num_tasks * torchjd.AlignedMTLWeighting(scale_mode=mode)(products)
        torch.testing.assert_close(weights_of(partial(AlignedMTL, scale_mode=mode), jacobian), theirs)
    torch.testing.assert_close(weights_of(IMTLG, jacobian), torchjd.IMTLGWeighting()(products))
    torch.testing.assert_close(direction_of(ConFIG, jacobian), torchjd.ConFIG()(jacobian))


# -- properties --------------------------------------------------------------------------------------------------------
@EVERYONE
@SCALES
def test_scale_of_all_gradients_does_not_matter(factory: Any, scale: float) -> None:
    jacobian = random_jacobian(5, 4)
    small, large = factory(tasks_of(jacobian)), factory(tasks_of(jacobian))
    for _ in range(3):
        torch.testing.assert_close(weights_of(small, jacobian * scale), weights_of(large, jacobian))


@pytest.mark.parametrize("factory", [AlignedMTL, ConFIG, GradNorm, IMTL, IMTLG])
def test_order_of_the_tasks_does_not_matter(factory: Any) -> None:
    jacobian, order = random_jacobian(6), torch.tensor([3, 0, 5, 1, 4, 2])
    ours, permuted = factory(tasks_of(jacobian)), factory(tasks_of(jacobian))
    for _ in range(3):
        torch.testing.assert_close(weights_of(permuted, jacobian[order]), weights_of(ours, jacobian)[order])


@pytest.mark.parametrize("factory", [ConFIG, IMTLG])
@pytest.mark.parametrize("ratio", [1.0, 1e3, 1e6])
@SIZES
def test_projections_are_equal_and_positive(factory: Any, ratio: float, num_tasks: int) -> None:
    jacobian = random_jacobian(num_tasks) * torch.logspace(0, np.log10(ratio), num_tasks)[:, None]
    found = cosines_with(direction_of(factory, jacobian), jacobian)
    torch.testing.assert_close(found, found.mean().expand(num_tasks))
    assert found.mean() > 0


@pytest.mark.parametrize("angle", [1e-1, 3e-3, 1e-3, 1e-5, 1e-7])
def test_equal_projections_do_not_depend_on_how_they_are_computed(monkeypatch: Any, angle: float) -> None:
    jacobian = random_jacobian(3)
    jacobian[2] = jacobian[0] + angle * jacobian[2]
    directions = (jacobian / jacobian.norm(dim=1, keepdim=True)).numpy()
    cosines = directions @ directions.T
    found = spectrum.equal_projections(cosines)
    assert found is not None
    monkeypatch.setattr(spectrum, "_solve", lambda matrix, target: None)
    by_eigenvalues = spectrum.equal_projections(cosines)
    np.testing.assert_allclose(found, by_eigenvalues, rtol=1e-6)
    np.testing.assert_allclose(cosines @ found, 1, atol=10 * angle**2 + 1e-9 if angle < 1e-5 else 1e-6)


@SIZES
def test_imtl_g_sums_to_one(num_tasks: int) -> None:
    for seed in range(20):
        assert abs(abs(weights_of(IMTLG, random_jacobian(num_tasks, seed=seed)).sum()) - 1) < 1e-9


def test_imtl_g_is_bounded_where_no_weights_sum_to_one() -> None:
    """Of the third direction, weighed -1.4 by the formula, the norm decides what the weights sum to."""
    unit = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 0.03]]).double()
    unit = unit / unit.norm(dim=1, keepdim=True)
    coefficients = torch.linalg.solve(unit @ unit.T, torch.ones(3).double())
    norms = torch.tensor([1.0, 1.0, -float(coefficients[2] / coefficients[:2].sum())]).double()
    for change in (0.0, 1e-9):
        weights = weights_of(IMTLG, unit * (norms * (1 + change * torch.tensor([0.0, 0.0, 1.0])))[:, None])
        assert weights.abs().sum() == pytest.approx(1e6, rel=1e-3)
        torch.testing.assert_close(weights / weights[0], coefficients / norms / coefficients[0], rtol=1e-6, atol=0)


def test_imtl_g_turns_round_where_the_paper_would_ascend() -> None:
    jacobian = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 0.03]]).double()
    unit = jacobian / jacobian.norm(dim=1, keepdim=True)
    paper = torch.linalg.solve(jacobian @ jacobian.T, jacobian.norm(dim=1))
    assert paper.sum() < 0, "the case must be one where the sum of the paper's solution is negative"
    weights = weights_of(IMTLG, jacobian)
    torch.testing.assert_close(weights, -paper / paper.sum())
    assert (unit @ (weights @ jacobian) > 0).all()


@LOSS_FREE
def test_one_task_is_followed(factory: Any) -> None:
    torch.testing.assert_close(weights_of(factory, random_jacobian(1)), torch.ones(1).double())


@LOSS_FREE
def test_a_task_without_gradient_is_left_out(factory: Any) -> None:
    jacobian = random_jacobian(4)
    jacobian[2] = 0
    weighting, smaller = factory(tasks_of(jacobian)), factory(["task0", "task1", "task3"])
    three = torch.tensor([0, 1, 3])
    torch.testing.assert_close(weights_of(weighting, jacobian)[three], weights_of(smaller, jacobian[three]))


@pytest.mark.parametrize(
    ("factory", "ratio"),
    [(f, 10.0**power) for f in (ConFIG, GradVac, IMTLG, PCGrad) for power in (0, 6, 20)] + [(AlignedMTL, 1.0)],
)
def test_opposite_gradients_cancel(factory: Any, ratio: float) -> None:
    gradient = random_jacobian(1)
    jacobian = torch.cat([gradient, -gradient * ratio])
    assert direction_of(factory, jacobian).norm() < 1e-6 * jacobian.norm()
    assert weights_of(factory, jacobian).isfinite().all()


@pytest.mark.parametrize("factory", [AlignedMTL, ConFIG, IMTLG])
def test_a_bystander_is_served_where_two_gradients_are_opposite(factory: Any) -> None:
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]).double()
    found = cosines_with(direction_of(factory, jacobian), jacobian)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 1.0]).double())


@pytest.mark.parametrize("factory", [ConFIG, IMTLG])
@pytest.mark.parametrize("error", [0.0, 1e-7])
def test_twins_count_as_one_direction(factory: Any, error: float) -> None:
    first, second = random_jacobian(2)
    twins = torch.stack([first, second, second * (1 + error) + error * random_jacobian(1, seed=5)[0]])
    single = direction_of(factory, twins[:2])
    found = direction_of(factory, twins)
    assert torch.nn.functional.cosine_similarity(found, single, dim=0) > 1 - 1e-9
    assert weights_of(factory, twins).abs().max() < 3


@LOSS_FREE
@SIZES
def test_rounding_of_the_gramian_hardly_matters(factory: Any, num_tasks: int) -> None:
    jacobian = random_jacobian(num_tasks, 500) * torch.logspace(-3, 3, num_tasks)[:, None]
    products = jacobian @ jacobian.T
    noise = torch.randn(num_tasks, num_tasks, generator=torch.Generator().manual_seed(2)).double()
    size = 1e-7 * jacobian.norm(dim=1) * jacobian.norm(dim=1)[:, None]
    everyone, losses = torch.arange(num_tasks), torch.ones(num_tasks).double()
    exact = factory(tasks_of(jacobian))(products, losses, everyone)
    rounded = factory(tasks_of(jacobian))(products + (noise + noise.T) * size, losses, everyone)
    error = ((rounded - exact) * jacobian.norm(dim=1)).abs().max()
    assert error < 1e-5 * (exact * jacobian.norm(dim=1)).abs().max()


@LOSS_FREE
@pytest.mark.parametrize("num_tasks", [3, 32])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("ratio", [1.0, 1e20])
def test_dependent_gradients_give_bounded_directions(factory: Any, num_tasks: int, rank: int, ratio: float) -> None:
    generator = torch.Generator().manual_seed(3)
    mixed = torch.randn(num_tasks, rank, generator=generator).double() @ random_jacobian(rank)
    jacobian = (mixed * torch.logspace(0, np.log10(ratio), num_tasks, dtype=torch.float64)[:, None]).float().double()
    found = direction_of(factory, jacobian)
    assert found.isfinite().all()
    assert found.norm() <= 2 * num_tasks * jacobian.norm()


@LOSS_FREE
def test_all_zero_gradients(factory: Any) -> None:
    assert weights_of(factory, torch.zeros(3, 4).double()).isfinite().all()


# -- GradVac's targets -------------------------------------------------------------------------------------------------
def test_gradvac_keeps_the_targets_of_absent_tasks() -> None:
    weighting = GradVac(["a", "b", "c"], beta=0.5, seed=0)
    jacobian = random_jacobian(3)
    weights_of(weighting, jacobian)
    before = weighting.targets.clone()
    part = jacobian[[0, 2]]
    weighting(part @ part.T, torch.ones(2).double(), torch.tensor([0, 2]))
    changed = (weighting.targets != before).nonzero().tolist()
    assert changed == [[0, 2], [2, 0]]


def test_gradvac_turns_gradients_that_agree_less_than_usual() -> None:
    weighting, similar = GradVac(["a", "b"], beta=0.5), pair(0.9, (1.0, 1.0))
    for _ in range(50):
        weights_of(weighting, similar)
    found = weights_of(weighting, pair(0.5, (1.0, 1.0)))
    assert (found > 1.1).all()
    torch.testing.assert_close(weights_of(GradVac(["a", "b"]), pair(0.5, (1.0, 1.0))), torch.ones(2).double())


def test_gradvac_survives_gradients_that_were_always_equal() -> None:
    weighting, twins = GradVac(["a", "b"], beta=1.0), pair(1.0)
    for _ in range(3):
        weights_of(weighting, twins)
    assert weighting.targets[0, 1] == 1
    assert weights_of(weighting, pair(0.5)).abs().max() < 1e4


# -- trained on the host -----------------------------------------------------------------------------------------------
def gradnorm_reference(norms: Sequence[Tensor], losses: Sequence[Tensor], alpha: float, rate: float) -> list[Tensor]:
    weights = torch.ones(len(norms[0]), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=rate, eps=0.0)
    used = []
    for norm, loss in zip(norms, losses, strict=True):
        used.append(weights.detach().clone())
        lengths = weights * norm
        rates = (loss / losses[0]) / (loss / losses[0]).mean()
        optimizer.zero_grad()
        (lengths - (lengths.mean() * rates**alpha).detach()).abs().sum().backward()
        optimizer.step()
        with torch.no_grad():
            weights *= len(weights) / weights.sum()
    return used


@pytest.mark.parametrize("alpha", [0.0, 0.12, 1.5])
def test_gradnorm_is_adam_on_the_loss_of_the_paper(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    norms = [torch.rand(4, generator=generator).double() + 0.5 for _ in range(30)]
    losses = [torch.rand(4, generator=generator).double() + 0.5 for _ in range(30)]
    weighting = GradNorm(list("abcd"), alpha=alpha)
    found = [weights_of(weighting, norm.diag(), loss) for norm, loss in zip(norms, losses, strict=True)]
    expected = gradnorm_reference(norms, losses, alpha, 0.025)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))


def test_gradnorm_makes_gradients_equally_long() -> None:
    weighting, norms = GradNorm(["a", "b", "c"], learning_rate=0.01), torch.tensor([1.0, 2.0, 4.0]).double()
    for _ in range(400):
        weights = weights_of(weighting, norms.diag())
    lengths = weights * norms
    torch.testing.assert_close(lengths, lengths.mean().expand(3), rtol=0.1, atol=0.0)
    torch.testing.assert_close(weights.sum(), torch.tensor(3.0).double())


def test_gradnorm_raises_the_weight_of_slow_tasks() -> None:
    weighting = GradNorm(["slow", "fast"])
    for losses in ([1.0, 1.0], *[[0.9, 0.1]] * 50):
        weights = weights_of(weighting, torch.eye(2).double(), losses)
    assert weights[0] > 1.2
    assert weights[1] < 0.8


def test_gradnorm_weights_never_fall_below_zero() -> None:
    weighting, norms = GradNorm(["a", "b"], learning_rate=1.0), torch.tensor([1.0, 1e3]).double()
    for _ in range(50):
        weights = weights_of(weighting, norms.diag())
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(), torch.tensor(2.0).double())


def test_gradnorm_leaves_absent_tasks_alone() -> None:
    weighting, two = GradNorm(["a", "b", "c"]), torch.tensor([0, 2])
    products = torch.tensor([1.0, 9.0]).double().diag()
    for _ in range(3):
        weighting(products, torch.ones(2).double(), two)
    assert weighting.weights[1] == 1
    assert weighting.initial_losses[1] == 0
    assert weighting.moments[:, 1].eq(0).all()
    torch.testing.assert_close(weighting.weights[two].sum(), torch.tensor(2.0).double())
    assert weighting.weights[0] > 1


def test_gradnorm_keeps_the_sum_of_the_weights_of_tasks_that_are_present() -> None:
    """Once weights differ, that is neither the number of these tasks nor the sum of all weights."""
    weighting, two = GradNorm(["a", "b", "c"], learning_rate=0.1), torch.tensor([0, 2])
    for _ in range(3):
        weights_of(weighting, torch.tensor([1.0, 4.0, 9.0]).double().diag())
    before = weighting.weights[two].sum().clone()
    assert abs(before - 2) > 0.1
    for _ in range(3):
        weighting(torch.tensor([9.0, 1.0]).double().diag(), torch.ones(2).double(), two)
    torch.testing.assert_close(weighting.weights[two].sum(), before)


def test_gradnorm_refuses_negative_losses() -> None:
    with pytest.raises(UserError, match=r"GradNorm needs losses of at least 0, found -0.5 \(task1\)"):
        weights_of(GradNorm, random_jacobian(2), [1.0, -0.5])


def test_gradnorm_waits_for_a_first_loss_that_is_not_zero() -> None:
    weighting = GradNorm(["a", "b"])
    for losses in ([0.0, 0.0], [0.0, 1.0], [2.0, 1.0]):
        assert weights_of(weighting, random_jacobian(2), losses).isfinite().all()
    assert weighting.initial_losses.tolist() == [2.0, 1.0]


def test_imtl_scales_losses_to_one() -> None:
    weighting, losses = IMTL(["a", "b"], learning_rate=0.05), torch.tensor([3.0, 0.02]).double()
    for _ in range(400):
        weights = weights_of(weighting, pair(-0.3), losses)
    scales = weighting.log_scales.exp()
    torch.testing.assert_close(scales * losses, torch.ones(2).double(), rtol=0.05, atol=0.0)
    torch.testing.assert_close(weights, weights_of(IMTLG, pair(-0.3) * scales[:, None]) * scales, rtol=0.02, atol=0.0)


def test_imtl_has_the_direction_of_imtl_g() -> None:
    jacobian = random_jacobian(5)
    weighting = IMTL(tasks_of(jacobian), learning_rate=0.1)
    for losses in torch.rand(10, 5, generator=torch.Generator().manual_seed(0)).double():
        found = weights_of(weighting, jacobian, losses) @ jacobian
        torch.testing.assert_close(cosines_with(found, direction_of(IMTLG, jacobian)[None]), torch.ones(1).double())


def test_imtl_trains_the_scales_of_present_tasks_alone() -> None:
    weighting, two = IMTL(["a", "b", "c"], learning_rate=0.1), torch.tensor([0, 2])
    weighting(torch.eye(2).double(), torch.tensor([2.0, 0.5]).double(), two)
    torch.testing.assert_close(weighting.log_scales, torch.tensor([-0.1, 0.0, 0.1]).double())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlignedMTL(["a"], scale_mode="max"), "`scale_mode` must be one of min, median, rmse, found 'max'"),  # type: ignore[arg-type]
        (lambda: GradNorm(["a"], alpha=-1.0), "`alpha` must be a finite number of at least 0, found -1.0"),
        (lambda: GradNorm(["a"], learning_rate=0.0), "`learning_rate` must be a finite number above 0, found 0.0"),
        (lambda: GradVac(["a"], beta=1.5), "`beta` must be between 0 and 1, found 1.5"),
        (lambda: IMTL(["a"], learning_rate=float("nan")), "`learning_rate` must be a finite number above 0, found nan"),
    ],
)
def test_arguments_are_checked(make: Callable[[], GramianWeighting], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
