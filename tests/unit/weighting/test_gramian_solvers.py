"""Gramian weightings that solve a problem: they reach the optimum, whatever the rank, scale and norms of the gradients.

Optima are known by their optimality conditions, which these tests check on float64 Jacobians of known rank, by closed
forms for two tasks, and from TorchJD where it converges.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.aggregation as torchjd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torchjd.linalg import QuadprogProjector

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.weighting import GramianWeighting, solvers
from mtl_lightning.weighting.cagrad import CAGrad
from mtl_lightning.weighting.dualproj import DualProj
from mtl_lightning.weighting.fairgrad import FairGrad
from mtl_lightning.weighting.mgda import MGDA
from mtl_lightning.weighting.nash_mtl import NashMTL
from mtl_lightning.weighting.solvers import SolverError
from mtl_lightning.weighting.upgrad import UPGrad

Array = NDArray[np.float64]
Factory = Callable[[Sequence[str]], GramianWeighting]

METHODS: dict[str, Factory] = {
    "mgda": MGDA,
    "mgda-l2": lambda tasks: MGDA(tasks, "l2"),
    "mgda-loss": lambda tasks: MGDA(tasks, "loss"),
    "mgda-loss+": lambda tasks: MGDA(tasks, "loss+"),
    "upgrad": UPGrad,
    "upgrad-preferences": lambda tasks: UPGrad(tasks, {name: 1.0 + i for i, name in enumerate(tasks)}),
    "dualproj": DualProj,
    "nash": NashMTL,
    "nash-not-clipped": lambda tasks: NashMTL(tasks, max_norm=None),
    "fairgrad": FairGrad,
    "fairgrad-0.5": lambda tasks: FairGrad(tasks, alpha=0.5),
    "fairgrad-2": lambda tasks: FairGrad(tasks, alpha=2.0),
    "fairgrad-10": lambda tasks: FairGrad(tasks, alpha=10.0),
    "cagrad": CAGrad,
    "cagrad-0.9": lambda tasks: CAGrad(tasks, c=0.9),
    "cagrad-rescaled": lambda tasks: CAGrad(tasks, rescale="1+c^2"),
    "cagrad-mean": lambda tasks: CAGrad(tasks, c=0.0),
}
SYMMETRIC = {name: factory for name, factory in METHODS.items() if "preferences" not in name}
HARMLESS = {name: METHODS[name] for name in ("mgda", "upgrad", "upgrad-preferences", "dualproj")}
UNSCALED = {name: factory for name, factory in METHODS.items() if name.partition("-")[0] not in ("nash", "fairgrad")}
SHAPES = [(1, 1), (2, 2), (2, 1), (3, 3), (5, 2), (8, 8), (8, 3), (32, 32), (32, 5)]
SCALES = [(1.0, 1.0), (1e-10, 1.0), (1e10, 1e3), (1.0, 1e6)]

everywhere = pytest.mark.parametrize(("scale", "ratio"), SCALES, ids=lambda value: f"{value:g}")
any_shape = pytest.mark.parametrize(("num_tasks", "rank"), SHAPES, ids=str)


def random_jacobian(
    num_tasks: int, rank: int, scale: float = 1.0, ratio: float = 1.0, seed: int = 0, agreeing: bool = False
) -> Array:
    """Gradients [K, 40] of a rank, largest norm and ratio of norms; ``agreeing``: some direction helps all tasks."""
    random = np.random.default_rng(seed)
    factors = random.standard_normal((num_tasks, rank))
    if agreeing:
        factors[:, 0] = 0.3 + np.abs(factors[:, 0])
    rows = factors @ np.linalg.qr(random.standard_normal((40, rank)))[0].T
    norms = random.permutation(np.geomspace(scale / ratio, scale, num_tasks))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) * norms[:, None]


def weights_of(factory: Factory, jacobian: Array, losses: Array | None = None) -> Array:
    num_tasks = len(jacobian)
    weighting = factory([f"task{i}" for i in range(num_tasks)])
    losses = np.ones(num_tasks) if losses is None else losses
    products = torch.from_numpy(jacobian @ jacobian.T)
    found: Tensor = weighting((products + products.T) / 2, torch.from_numpy(losses), torch.arange(num_tasks))
    assert found.dtype == torch.float64
    return found.numpy()


def direction_of(factory: Factory, jacobian: Array) -> Array:
    return weights_of(factory, jacobian) @ jacobian


def length(vector: Array) -> float:
    return float(np.linalg.norm(vector))


def cosine(one: Array, other: Array) -> float:
    return float(one @ other / length(one) / length(other))


def rounding(jacobian: Array, weights: Array) -> float:
    """How far rounding can put a combination off."""
    return 1e-12 * float(np.abs(weights) @ np.linalg.norm(jacobian, axis=1))


def gains(jacobian: Array, direction: Array) -> Array:
    """How fast each loss falls along the direction, relative to its steepest descent."""
    return jacobian @ direction / np.linalg.norm(jacobian, axis=1)


# -- optimality --------------------------------------------------------------------------------------------------------
@any_shape
@everywhere
def test_mgda_is_the_convex_combination_nearest_to_zero(num_tasks: int, rank: int, scale: float, ratio: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio)
    weights = weights_of(MGDA, jacobian)
    direction = weights @ jacobian
    products, shortest = jacobian @ direction, direction @ direction
    tolerance = (1e-7 * length(direction) + rounding(jacobian, weights)) * np.linalg.norm(jacobian, axis=1)
    assert (products >= shortest - tolerance).all()
    assert (products <= shortest + tolerance)[weights > 0].all()


@pytest.mark.parametrize("name", ["mgda", "mgda-l2", "mgda-loss", "mgda-loss+"])
@any_shape
def test_mgda_is_on_the_simplex(num_tasks: int, rank: int, name: str) -> None:
    losses = np.random.default_rng(0).uniform(0.1, 10, num_tasks)
    weights = weights_of(METHODS[name], random_jacobian(num_tasks, rank, ratio=1e3), losses)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_mgda_normalisers_are_those_of_the_paper() -> None:
    jacobian, losses = random_jacobian(4, 4, ratio=10), np.array([0.5, 1.0, 2.0, 3.0])
    norms = np.linalg.norm(jacobian, axis=1)
    for normalization, divisors in {"l2": norms, "loss": losses, "loss+": losses * norms}.items():
        found = weights_of(METHODS[f"mgda-{normalization}"], jacobian, losses)
        np.testing.assert_allclose(found, weights_of(MGDA, jacobian / divisors[:, None]), rtol=0, atol=1e-9)


def one_hot(task: int) -> Factory:
    return lambda tasks: UPGrad(tasks, {name: float(i == task) for i, name in enumerate(tasks)})


def assert_projected(jacobian: Array, start: Array, weights: Array) -> None:
    """The combination is the point of the dual cone nearest to the combination that ``start`` weighs."""
    direction, added, norms = weights @ jacobian, weights - start, np.linalg.norm(jacobian, axis=1)
    tolerance = 1e-7 * length(direction) + rounding(jacobian, weights)
    assert (added >= -1e-12 * np.abs(weights)).all()
    assert (jacobian @ direction / norms >= -tolerance).all()
    assert (np.abs(jacobian @ direction / norms) <= tolerance)[added > 1e-12 * np.abs(weights)].all()


@any_shape
@everywhere
def test_dualproj_projects_the_mean(num_tasks: int, rank: int, scale: float, ratio: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio)
    assert_projected(jacobian, np.full(num_tasks, 1 / num_tasks), weights_of(DualProj, jacobian))


@any_shape
@everywhere
def test_upgrad_projects_every_gradient(num_tasks: int, rank: int, scale: float, ratio: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio)
    each = [weights_of(one_hot(task), jacobian) for task in range(num_tasks)]
    for task, weights in enumerate(each):
        assert_projected(jacobian, np.eye(num_tasks)[task], weights)
    np.testing.assert_allclose(weights_of(UPGrad, jacobian), np.mean(each, axis=0), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 2.0, 10.0, 50.0])
@any_shape
@everywhere
def test_fairgrad_solves_its_equation(num_tasks: int, rank: int, scale: float, ratio: float, alpha: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio, agreeing=True)
    weights = weights_of(lambda tasks: FairGrad(tasks, alpha), jacobian)
    products = jacobian @ (weights @ jacobian)
    assert (weights > 0).all()
    energies = weights * products
    missed = np.abs(energies - weights ** (1 - 1 / alpha))
    assert (missed <= 1e-7 * energies.sum()).all()
    if 0.5 <= alpha <= 2 and ratio <= 1e3:
        np.testing.assert_allclose(products, weights ** (-1 / alpha), rtol=1e-5)


@any_shape
@everywhere
def test_nash_solves_its_equation(num_tasks: int, rank: int, scale: float, ratio: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio, agreeing=True)
    weights = weights_of(METHODS["nash-not-clipped"], jacobian)
    np.testing.assert_allclose(weights * (jacobian @ (weights @ jacobian)), 1, rtol=1e-7)
    assert length(weights @ jacobian) == pytest.approx(num_tasks**0.5)
    clipped = weights_of(lambda tasks: NashMTL(tasks, max_norm=0.5), jacobian)
    np.testing.assert_allclose(clipped, weights * 0.5 / num_tasks**0.5, rtol=1e-7)


@pytest.mark.parametrize("c", [0.01, 0.5, 0.99])
@any_shape
@everywhere
def test_cagrad_is_optimal(num_tasks: int, rank: int, scale: float, ratio: float, c: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio)
    weights = weights_of(lambda tasks: CAGrad(tasks, c), jacobian)
    mean, direction, added = jacobian.mean(0), weights @ jacobian, weights - 1 / num_tasks
    radius = c * length(mean)
    assert (added >= -1e-9 * np.abs(weights)).all()
    assert length(direction - mean) <= radius * (1 + 1e-6)
    simplex = added / added.sum() if added.any() else np.full(num_tasks, 1 / num_tasks)
    bound = simplex @ jacobian @ mean + radius * length(simplex @ jacobian)
    worst = (jacobian @ direction).min()
    assert bound - worst <= 1e-7 * length(mean) * length(simplex @ jacobian) + 1e-3 * scale * rounding(
        jacobian, weights
    )


@any_shape
@everywhere
@pytest.mark.parametrize("factory", HARMLESS.values(), ids=HARMLESS)
def test_no_task_is_hurt(factory: Factory, num_tasks: int, rank: int, scale: float, ratio: float) -> None:
    jacobian = random_jacobian(num_tasks, rank, scale, ratio, seed=1)
    weights = weights_of(factory, jacobian)
    direction = weights @ jacobian
    assert gains(jacobian, direction).min() >= -1e-7 * length(direction) - rounding(jacobian, weights)


@pytest.mark.parametrize(
    "factory",
    [lambda tasks: CAGrad(tasks, c=0.01), METHODS["cagrad-mean"], METHODS["mgda-loss"]],
    ids=["cagrad-near", "cagrad-mean", "mgda-loss"],
)
def test_others_may_hurt_a_task(factory: Factory) -> None:
    jacobian = np.array([[1.0, 0.0], [-10.0, 1.0]])
    direction = weights_of(factory, jacobian, np.array([10.0, 1.0])) @ jacobian
    assert gains(jacobian, direction).min() < -0.1 * length(direction)


# -- two tasks ---------------------------------------------------------------------------------------------------------
two_tasks = pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array([1.0, 0.0]), size * np.array([np.cos(angle), np.sin(angle)]))
        for angle in (0.3, 1.2, 1.8, 2.5, 3.1)
        for size in (1e-6, 0.1, 1.0, 30.0)
    ],
    ids=[f"{angle}-{size:g}" for angle in (0.3, 1.2, 1.8, 2.5, 3.1) for size in (1e-6, 0.1, 1.0, 30.0)],
)


@two_tasks
def test_mgda_of_two(first: Array, second: Array) -> None:
    difference = second - first
    share = np.clip(difference @ second / (difference @ difference), 0, 1)
    np.testing.assert_allclose(weights_of(MGDA, np.stack([first, second])), [share, 1 - share], rtol=0, atol=1e-9)


@two_tasks
def test_upgrad_of_two_is_half_of_pcgrad(first: Array, second: Array) -> None:
    product = min(first @ second, 0.0)
    pcgrad = first - product / (second @ second) * second + second - product / (first @ first) * first
    np.testing.assert_allclose(direction_of(UPGrad, np.stack([first, second])), pcgrad / 2, rtol=1e-9, atol=1e-15)


@two_tasks
def test_dualproj_of_two(first: Array, second: Array) -> None:
    expected = (first + second) / 2
    for gradient in (first, second):
        expected = expected - min(expected @ gradient, 0.0) / (gradient @ gradient) * gradient
    np.testing.assert_allclose(direction_of(DualProj, np.stack([first, second])), expected, rtol=1e-9, atol=1e-12)


@two_tasks
def test_nash_of_two_bisects_the_angle(first: Array, second: Array) -> None:
    bisector = first / length(first) + second / length(second)
    direction = direction_of(METHODS["nash-not-clipped"], np.stack([first, second]))
    np.testing.assert_allclose(direction, 2**0.5 * bisector / length(bisector), rtol=1e-7, atol=1e-7)


@two_tasks
def test_cagrad_of_two(first: Array, second: Array) -> None:
    mean = (first + second) / 2
    radius = 0.5 * length(mean)

    def objective(share: float) -> float:
        point = share * first + (1 - share) * second
        return float(point @ mean + radius * length(point))

    share = minimize_scalar(objective, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).x
    best = min((0.0, share, 1.0), key=objective)
    point = best * first + (1 - best) * second
    direction = direction_of(CAGrad, np.stack([first, second]))
    assert cosine(direction, mean + radius * point / length(point)) > 1 - 1e-9


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_fairgrad_of_orthogonal_gradients(alpha: float) -> None:
    norms = np.array([0.1, 1.0, 30.0])
    found = weights_of(lambda tasks: FairGrad(tasks, alpha), np.diag(norms))
    np.testing.assert_allclose(found, norms ** (-2 * alpha / (1 + alpha)), rtol=1e-7)


def test_fairgrad_with_alpha_1_is_nash() -> None:
    jacobian = random_jacobian(8, 8, ratio=1e3)
    found = weights_of(FairGrad, jacobian)
    np.testing.assert_allclose(found, weights_of(METHODS["nash-not-clipped"], jacobian), rtol=1e-7)
    assert cosine(direction_of(METHODS["fairgrad-2"], jacobian), found @ jacobian) < 0.999


@pytest.mark.parametrize(("rescale", "divisor"), [("none", 1.0), ("1+c^2", 1.25), ("1+c", 1.5)])
def test_cagrad_of_equally_long_gradients_stretches_the_mean(rescale: Any, divisor: float) -> None:
    jacobian = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    found = direction_of(lambda tasks: CAGrad(tasks, 0.5, rescale), jacobian)
    np.testing.assert_allclose(found, 1.5 * jacobian.mean(0) / divisor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("angle", [0.1, 1e-3, 1e-5, 1e-8])
def test_cagrad_of_almost_opposite_gradients(angle: float) -> None:
    jacobian = np.array([[1.0, angle, 0.0], [-1.0, angle, 0.0], [0.0, 0.0, 1.0]])
    mean = jacobian.mean(0)
    vanishes = angle < 1e-6
    expected = mean + np.array([0.0, 0.0 if vanishes else 0.5 * length(mean), 0.0])
    np.testing.assert_allclose(direction_of(CAGrad, jacobian), expected, rtol=0, atol=1e-6)


def test_cagrad_without_any_common_descent_hurts_no_task() -> None:
    jacobian = np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    found = direction_of(METHODS["cagrad-0.9"], jacobian)
    np.testing.assert_allclose(found, [0.0, 1 / 3], rtol=0, atol=1e-12)
    held_back = direction_of(lambda tasks: CAGrad(tasks, c=0.1), jacobian)
    assert length(held_back - jacobian.mean(0)) == pytest.approx(0.1 * length(jacobian.mean(0)))


# -- symmetries --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("factory", SYMMETRIC.values(), ids=SYMMETRIC)
@pytest.mark.parametrize(("num_tasks", "rank"), [(3, 3), (8, 8), (32, 32)], ids=str)
def test_order_of_tasks_does_not_matter(factory: Factory, num_tasks: int, rank: int) -> None:
    jacobian, order = random_jacobian(num_tasks, rank, ratio=100), np.random.default_rng(1).permutation(num_tasks)
    found, expected = weights_of(factory, jacobian[order]), weights_of(factory, jacobian)[order]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-10, 1e-5, 1e5, 1e10])
@pytest.mark.parametrize("factory", METHODS.values(), ids=METHODS)
def test_scale_of_all_gradients_does_not_turn_the_direction(factory: Factory, scale: float) -> None:
    jacobian = random_jacobian(8, 8, ratio=10)
    assert cosine(direction_of(factory, jacobian), direction_of(factory, jacobian * scale)) > 1 - 1e-12


@pytest.mark.parametrize("scale", [1e-10, 1e10])
@pytest.mark.parametrize("factory", UNSCALED.values(), ids=UNSCALED)
def test_scale_of_all_gradients_does_not_change_the_weights(factory: Factory, scale: float) -> None:
    jacobian = random_jacobian(8, 8, ratio=10)
    found = weights_of(factory, jacobian * scale)
    np.testing.assert_allclose(found, weights_of(factory, jacobian), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["nash", "nash-not-clipped", "mgda", "fairgrad-2", "upgrad", "dualproj", "cagrad"])
def test_scale_of_each_gradient_matters_to_all_but_nash(name: str) -> None:
    jacobian = random_jacobian(8, 8)
    found = direction_of(METHODS[name], jacobian * np.geomspace(1e-3, 1e3, 8)[:, None])
    expected = direction_of(METHODS[name], jacobian)
    if name.startswith("nash"):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    else:
        assert cosine(found, expected) < 0.99


# -- degenerate gradients ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("factory", SYMMETRIC.values(), ids=SYMMETRIC)
def test_task_without_gradient_holds_nobody_back(factory: Factory) -> None:
    jacobian = random_jacobian(5, 5, ratio=10, agreeing=True)
    found = direction_of(factory, np.insert(jacobian, 2, 0.0, axis=0))
    assert cosine(found, direction_of(factory, jacobian)) > 1 - 1e-9
    assert length(found) > 0.5 * length(direction_of(factory, jacobian))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mgda", 0), ("nash", 0), ("fairgrad", 0), ("upgrad", 0.25), ("dualproj", 0.25), ("cagrad", 0.25)],
)
def test_weight_of_a_task_without_gradient(name: str, expected: float) -> None:
    assert weights_of(METHODS[name], np.insert(random_jacobian(3, 3), 1, 0.0, axis=0))[1] == expected


@pytest.mark.parametrize("factory", METHODS.values(), ids=METHODS)
def test_no_gradients_at_all(factory: Factory) -> None:
    weights = weights_of(factory, np.zeros((3, 5)))
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize("factory", SYMMETRIC.values(), ids=SYMMETRIC)
def test_opposite_gradients_cancel_out(factory: Factory) -> None:
    gradient = random_jacobian(1, 1)
    direction = direction_of(factory, np.concatenate([gradient, -gradient]))
    assert length(direction) < 1e-3 * length(gradient)


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "nash", "fairgrad", "fairgrad-2", "cagrad"])
def test_opposite_gradients_leave_the_rest_to_others(name: str) -> None:
    first, other = random_jacobian(2, 2)
    other = other - other @ first / (first @ first) * first
    direction = direction_of(METHODS[name], np.stack([first, -first, other]))
    assert cosine(direction, other) > 1 - 1e-6


def test_opposite_gradients_make_mgda_stand_still() -> None:
    first, other = random_jacobian(2, 2)
    assert length(direction_of(MGDA, np.stack([first, -first, other]))) < 1e-12


@pytest.mark.parametrize("factory", SYMMETRIC.values(), ids=SYMMETRIC)
def test_duplicates_count_together(factory: Factory) -> None:
    jacobian = random_jacobian(3, 3)
    direction = direction_of(factory, np.concatenate([jacobian, jacobian]))
    assert cosine(direction, direction_of(factory, jacobian)) > 1 - 1e-9


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    num_tasks=st.integers(1, 32),
    rank=st.integers(1, 32),
    scale=st.floats(-10, 10).map(lambda power: 10**power),
    ratio=st.sampled_from([1.0, 1e3, 1e6, 1e20]),
    special=st.sampled_from(["opposite", "duplicate", "sum", "rounded", "zero"]),
    noise=st.sampled_from([0.0, 1e-7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_gradients(
    num_tasks: int, rank: int, scale: float, ratio: float, special: str, noise: float, seed: int
) -> None:
    jacobian, random = random_jacobian(num_tasks, rank, scale, ratio, seed), np.random.default_rng(seed)
    if special == "rounded":
        jacobian = np.round(jacobian / scale) * scale
    elif special == "sum":
        jacobian[0] = -jacobian[1:].sum(0)
    else:
        jacobian[0] = {"opposite": -1.0, "duplicate": 1.0, "zero": 0.0}[special] * jacobian[-1]
    errors = noise * random.standard_normal((num_tasks, num_tasks))
    norms = np.linalg.norm(jacobian, axis=1)
    products = torch.from_numpy(jacobian @ jacobian.T + (errors + errors.T) * np.outer(norms, norms))
    names = [f"task{i}" for i in range(num_tasks)]
    for name, factory in METHODS.items():
        weights = factory(names)((products + products.T) / 2, torch.ones(num_tasks).double(), torch.arange(num_tasks))
        assert weights.isfinite().all(), name
        assert (weights >= -1e-12 * weights.abs().max()).all(), name


# -- TorchJD -----------------------------------------------------------------------------------------------------------
EXACT = QuadprogProjector(norm_eps=0.0, reg_eps=1e-12)
ORACLES: dict[str, Callable[[int], torchjd.Aggregator]] = {
    "mgda": lambda _: torchjd.MGDA(epsilon=1e-6, max_iters=2000),
    "upgrad": lambda _: torchjd.UPGrad(projector=EXACT),
    "dualproj": lambda _: torchjd.DualProj(projector=EXACT),
    "fairgrad": lambda _: torchjd.FairGrad(alpha=1.0),
    "fairgrad-2": lambda _: torchjd.FairGrad(alpha=2.0),
    "cagrad": lambda _: torchjd.CAGrad(c=0.5, norm_eps=0.0),
    "cagrad-0.9": lambda _: torchjd.CAGrad(c=0.9, norm_eps=0.0),
    "nash": lambda num_tasks: torchjd.NashMTL(num_tasks, max_norm=1.0),
}


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP")
@pytest.mark.parametrize("num_tasks", [2, 3, 5])
@pytest.mark.parametrize("name", ORACLES)
def test_torchjd_agrees(name: str, num_tasks: int) -> None:
    jacobian = random_jacobian(num_tasks, num_tasks, scale=10.0, ratio=3.0)
    expected = ORACLES[name](num_tasks)(torch.from_numpy(jacobian)).numpy()
    found = direction_of(METHODS[name], jacobian)
    assert length(found - expected) < (5e-3 if name in ("mgda", "nash") else 1e-4) * length(expected)


def test_torchjd_hurts_tasks_with_small_gradients_and_upgrad_does_not() -> None:
    jacobian = random_jacobian(4, 4, ratio=1e3)
    theirs = torchjd.UPGrad()(torch.from_numpy(jacobian)).numpy()
    ours = direction_of(UPGrad, jacobian)
    assert gains(jacobian, theirs).min() < -1e-3 * length(theirs)
    assert gains(jacobian, ours).min() > -1e-12 * length(ours)


def test_torchjd_stops_early_and_mgda_does_not() -> None:
    jacobian = random_jacobian(32, 32, ratio=10)
    theirs = torchjd.MGDA()(torch.from_numpy(jacobian)).numpy()
    assert length(direction_of(MGDA, jacobian)) < 0.99 * length(theirs)


# -- arguments, failures, contract -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MGDA(["a"], "l1"), "`normalization` must be one of none, l2, loss, loss\\+, found 'l1'"),
        (lambda: UPGrad(["a", "b"], {"a": 1.0}), "`preferences` misses b"),
        (lambda: UPGrad(["one", "two"], {"ona": 1.0}), "unknown task 'ona'; did you mean 'one'"),
        (lambda: UPGrad(["a"], {"a": -1.0}), "`preferences.a` must be a finite number of at least 0, found -1.0"),
        (lambda: NashMTL(["a"], max_norm=0), "`max_norm` must be a finite number above 0, found 0"),
        (lambda: FairGrad(["a"], alpha=0.0), "`alpha` must be a finite number above 0, found 0.0"),
        (lambda: FairGrad(["a"], alpha=float("inf")), "`alpha` must be a finite number above 0, found inf"),
        (lambda: CAGrad(["a"], c=1.0), "`c` must be at least 0 and less than 1, found 1.0"),
        (lambda: CAGrad(["a"], rescale="c"), "`rescale` must be one of none, 1\\+c\\^2, 1\\+c, found 'c'"),
    ],
)
def test_wrong_arguments(make: Callable[[], GramianWeighting], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_loss_normalisers_need_positive_losses_of_tasks_with_a_gradient() -> None:
    factory, jacobian = METHODS["mgda-loss"], np.eye(2)
    with pytest.raises(UserError, match="needs positive losses, found -1 for task 'task1'; choose none or l2"):
        weights_of(factory, jacobian, np.array([1.0, -1.0]))
    for second in ([0.0, 0.0], [0.0, 1.0]):  # a loss of zero is as far as it can be, and so is one over it
        jacobian[1] = second
        assert weights_of(factory, jacobian, np.array([1.0, 0.0])).tolist() == [1, 0]


def test_preferences_follow_the_tasks_present() -> None:
    weighting = UPGrad(["a", "b", "c"], {"a": 1.0, "b": 2.0, "c": 3.0})
    found = weighting(torch.eye(2, dtype=torch.float64), torch.ones(2), torch.tensor([0, 2]))
    assert found.tolist() == [1, 3]
    assert weighting(torch.eye(1, dtype=torch.float64), torch.ones(1), torch.tensor([1])).tolist() == [2]
    assert UPGrad(["a", "b", "c"])(torch.eye(2).double(), torch.ones(2), torch.tensor([0, 2])).tolist() == [0.5, 0.5]


def test_solver_that_misses_the_optimum_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    jacobian = random_jacobian(4, 4)
    monkeypatch.setattr(solvers, "nnls", lambda columns, target, maxiter: (np.ones(columns.shape[1]), 0.0))
    for factory in (MGDA, UPGrad, DualProj, CAGrad):
        with pytest.raises(SolverError, match="optimality conditions are missed"):
            weights_of(factory, jacobian)
    monkeypatch.setattr(solvers, "_NEWTON_STEPS", 1)
    for factory in (NashMTL, FairGrad):
        with pytest.raises(SolverError, match="no solution in 1 steps"):
            weights_of(factory, jacobian)


def test_solver_that_gives_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(columns: Array, target: Array, maxiter: int) -> None:
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr(solvers, "nnls", give_up)
    with pytest.raises(SolverError, match="Maximum number of iterations"):
        weights_of(MGDA, np.eye(3))


@pytest.mark.parametrize("num_tasks", [2, 3, 8, 32])
@pytest.mark.parametrize("factory", METHODS.values(), ids=METHODS)
def test_contract(factory: Factory, num_tasks: int) -> None:
    check_weighting(factory, num_tasks)
