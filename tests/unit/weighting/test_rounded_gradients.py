"""Gradients in single precision that are opposite, equal or dependent but for rounding: nobody is hurt by it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from mtl_lightning.backward.feature_products import FeatureProducts
from mtl_lightning.weighting import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    ConFIG,
    DualProj,
    FairGrad,
    GradVac,
    GramianWeighting,
    NashMTL,
    PCGrad,
    UPGrad,
    gramian,
)

Factory = Callable[[Sequence[str]], GramianWeighting]
METHODS: dict[str, Factory] = {
    "upgrad": UPGrad,
    "dualproj": DualProj,
    "nash-mtl": NashMTL,
    "fairgrad": FairGrad,
    "config": ConFIG,
    "imtl-g": IMTLG,
    "mgda": MGDA,
    "cagrad": CAGrad,
    "aligned-mtl": AlignedMTL,
    "pcgrad": lambda tasks: PCGrad(tasks, seed=0),
    "gradvac": lambda tasks: GradVac(tasks, seed=0),
}
HARMLESS = ("upgrad", "dualproj", "nash-mtl", "fairgrad", "config", "imtl-g")
"""Those that promise to hurt no task if two gradients are opposite and the others independent."""
PROJECTIONS = ("upgrad", "dualproj")
SINGLE = 2.0**-24


def opposite(jacobian: Tensor, random: np.random.Generator) -> None:
    jacobian[0] = -(10 ** random.uniform(-1, 1)) * jacobian[-1]


def noisy(jacobian: Tensor, random: np.random.Generator) -> None:
    noise = 1 + 1e-6 * torch.from_numpy(random.standard_normal(jacobian.shape[1])).float()
    jacobian[0] = -3.0 * jacobian[-1] * noise


def nearly(jacobian: Tensor, random: np.random.Generator) -> None:
    noise = torch.from_numpy(random.standard_normal(jacobian.shape[1])).float()
    jacobian[0] = -3.0 * (jacobian[-1] + 10 ** random.uniform(-8, -2) * noise)


def in_bfloat16(jacobian: Tensor, random: np.random.Generator) -> None:
    opposite(jacobian, random)
    jacobian.copy_(jacobian.bfloat16())


def equal(jacobian: Tensor, random: np.random.Generator) -> None:
    jacobian[0] = 10 ** random.uniform(-1, 1) * jacobian[-1]


def one_is_zero(jacobian: Tensor, random: np.random.Generator) -> None:
    opposite(jacobian, random)
    jacobian[1] = 0.0


def three_that_sum_to_zero(jacobian: Tensor, random: np.random.Generator) -> None:
    jacobian[0] = -(10 ** random.uniform(-1, 1)) * jacobian[1] - jacobian[2]


def several_pairs(jacobian: Tensor, random: np.random.Generator) -> None:
    for row in range(1, len(jacobian), 2):
        jacobian[row] = -(10 ** random.uniform(-1, 1)) * jacobian[row - 1]


def of_many_scales(jacobian: Tensor, random: np.random.Generator) -> None:
    opposite(jacobian, random)
    jacobian *= torch.from_numpy(random.permutation(np.logspace(-10, 10, len(jacobian)))).float().unsqueeze(1)


KINDS: dict[str, Callable[[Tensor, np.random.Generator], None]] = {
    "opposite": opposite,
    "noisy": noisy,
    "nearly": nearly,
    "bfloat16": in_bfloat16,
    "equal": equal,
    "zero": one_is_zero,
    "three": three_that_sum_to_zero,
    "pairs": several_pairs,
    "scales": of_many_scales,
}


def jacobians(kind: str, number: int) -> Iterator[Tensor]:
    """Gradients [K, P] in float32; 3 to 8 tasks, 10 to 5,000 parameters."""
    for seed in range(number):
        random = np.random.default_rng(seed)
        size = int(random.integers(3, 9)), int(10 ** random.uniform(1, np.log10(5000)))
        jacobian = torch.from_numpy(random.standard_normal(size)).float()
        KINDS[kind](jacobian, random)
        yield jacobian


def weights_of(factory: Factory, products: Tensor) -> Tensor:
    names = [f"task{i}" for i in range(len(products))]
    found: Tensor = factory(names)(products, torch.ones(len(names)).double(), torch.arange(len(names)))
    return found


def worst_gain(jacobian: Tensor, weights: Tensor) -> tuple[float, float]:
    """The least cosine with a gradient, of the combination in float32, and how far rounding of it may put cosines."""
    direction, norms = (weights.float() @ jacobian).double(), jacobian.double().norm(dim=1)
    here = norms > 0
    cosines = jacobian[here].double() @ direction / norms[here] / direction.norm().clamp(min=1e-300)
    return float(cosines.min()), float(SINGLE * (weights.abs() * norms).sum() / direction.norm().clamp(min=1e-300))


def single_products(jacobian: Tensor) -> Tensor:
    return (jacobian @ jacobian.T).double()


# -- no task is hurt ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("products", [gramian, single_products])
@pytest.mark.parametrize("name", PROJECTIONS)
def test_opposite_gradients_do_not_turn_projections_into_noise(name: str, products: Any) -> None:
    worst = [
        worst_gain(jacobian, weights_of(METHODS[name], products(jacobian))) for jacobian in jacobians("opposite", 400)
    ]
    assert min(cosine for cosine, _ in worst) > -5e-3


@pytest.mark.parametrize("kind", ["opposite", "noisy", "bfloat16", "equal"])
@pytest.mark.parametrize("name", HARMLESS)
def test_others_are_served_where_two_gradients_are_dependent(name: str, kind: str) -> None:
    for jacobian in jacobians(kind, 15):
        weights = weights_of(METHODS[name], gramian(jacobian))
        assert worst_gain(jacobian, weights)[0] > -5e-3
        assert float((weights.float() @ jacobian).norm()) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROJECTIONS)
def test_projections_hurt_no_more_than_rounding_explains(name: str, kind: str) -> None:
    for jacobian in jacobians(kind, 15):
        weights, norms = weights_of(METHODS[name], gramian(jacobian)), jacobian.double().norm(dim=1)
        cosine, rounding = worst_gain(jacobian, weights)
        assert cosine >= -1e-4 - 4 * rounding
        assert (weights * norms).max() <= 1e4 * norms.max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_finite_weights(name: str, kind: str) -> None:
    for jacobian in jacobians(kind, 6):
        weights = weights_of(METHODS[name], gramian(jacobian))
        assert weights.isfinite().all()
        assert (weights.float() @ jacobian).isfinite().all()


def test_the_rounding_of_long_opposite_gradients_does_not_reverse_config() -> None:
    """What is left of their projections, 1e-8 of 1e10, would outweigh those of short gradients."""
    for jacobian in jacobians("scales", 40):
        assert worst_gain(jacobian, weights_of(ConFIG, gramian(jacobian)))[0] > -5e-3


@pytest.mark.parametrize("name", ["config", "imtl-g"])
def test_no_common_direction_is_made_of_noise(name: str) -> None:
    for jacobian in jacobians("pairs", 25):
        if len(jacobian) % 2 == 0:
            weights = weights_of(METHODS[name], gramian(jacobian))
            assert (weights.float() @ jacobian).norm() <= 1e-6 * jacobian.norm()


# -- matrices of rank below the number of tasks ------------------------------------------------------------------------
def weakly_stationary(num_tasks: int, num_parameters: int, rank: int, seed: int) -> Tensor:
    """Gradients [K, P] in float32 of which some cancel out, and that together do not: the others can be served."""
    random = np.random.default_rng(seed)
    cancelling = np.arange(num_tasks) < random.integers(2, num_tasks - 1)
    weights = random.uniform(0.1, 1, num_tasks)
    fixed = np.stack([weights * cancelling, weights * ~cancelling], axis=1)
    basis = np.linalg.qr(np.concatenate([fixed, random.standard_normal((num_tasks, num_tasks - 2))], axis=1))[0]
    right = np.linalg.qr(random.standard_normal((num_parameters, num_parameters)))[0][:, :rank]
    return torch.from_numpy(basis[:, 1 : rank + 1] * random.uniform(0.3, 1, rank) @ right.T).float()


@pytest.mark.parametrize(("num_parameters", "rank"), [(10, 5), (10, 10), (100, 19), (100, 1)])
def test_projections_of_weakly_stationary_gradients(num_parameters: int, rank: int) -> None:
    for seed in range(10):
        jacobian = weakly_stationary(20, num_parameters, rank, seed)
        products, size = gramian(jacobian), jacobian.norm(dim=1).max()
        for factory in (UPGrad, DualProj):
            weights = weights_of(factory, products)
            assert worst_gain(jacobian, weights)[0] > -1e-2
            assert (weights.float() @ jacobian).norm() > 1e-3 * size
        assert (weights_of(MGDA, products).float() @ jacobian).norm() < 1e-6 * size or rank == 1


# -- what double precision resolves is exact ---------------------------------------------------------------------------
def near_opposite(num_tasks: int, num_parameters: int, degrees: float, ratio: float, seed: int) -> Tensor:
    """Gradients [K, P] in float32, two of them so many degrees from opposite."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((num_tasks + 1, num_parameters))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    across = rows[-1] - rows[-1] @ rows[0] * rows[0]
    angle = np.deg2rad(degrees)
    rows[1] = ratio * (np.sin(angle) * across / np.linalg.norm(across) - np.cos(angle) * rows[0])
    return torch.from_numpy(rows[:-1]).float()


near = pytest.mark.parametrize("degrees", [0.5, 0.11, 0.05, 0.01])
shapes = pytest.mark.parametrize(("num_tasks", "num_parameters"), [(2, 50), (3, 50), (5, 10_000)], ids=str)


@near
@shapes
@pytest.mark.parametrize("ratio", [1.0, 100.0])
def test_nearly_opposite_gradients_follow_the_formula(
    num_tasks: int, num_parameters: int, degrees: float, ratio: float
) -> None:
    jacobian = near_opposite(num_tasks, num_parameters, degrees, ratio, seed=0)
    exact, products = jacobian.double(), gramian(jacobian)
    along = torch.linalg.pinv(exact / exact.norm(dim=1, keepdim=True), rtol=1e-12).sum(1)
    along = along / along.norm()
    left, singular, right = torch.linalg.svd(exact, full_matrices=False)
    expected = {"config": (exact @ along).sum() * along, "aligned-mtl": singular[-1] * (left @ right).sum(0)}
    for name, direction in expected.items():
        found = weights_of(METHODS[name], products) @ exact
        assert (found - direction).norm() < 1e-5 * direction.norm(), name
    cosines = torch.nn.functional.cosine_similarity((weights_of(IMTLG, products) @ exact)[None], exact)
    torch.testing.assert_close(cosines, cosines.mean().expand(num_tasks), rtol=1e-5, atol=0.0)
    assert cosines.min() > 0


@near
def test_gradvac_turns_what_is_left_of_nearly_opposite_gradients(degrees: float) -> None:
    for seed in range(10):
        products = gramian(near_opposite(5, 50, degrees, ratio=1.0, seed=seed))
        found = weights_of(METHODS["gradvac"], products)
        torch.testing.assert_close(found, weights_of(METHODS["pcgrad"], products))  # which it is with targets of 0


@near
@shapes
def test_nearly_opposite_gradients_are_projected_exactly(num_tasks: int, num_parameters: int, degrees: float) -> None:
    jacobian = near_opposite(num_tasks, num_parameters, degrees, ratio=3.0, seed=1)
    exact, products = jacobian.double(), gramian(jacobian)
    for factory, starts in ((DualProj, exact.mean(0, keepdim=True)), (UPGrad, exact)):
        expected = torch.zeros(num_parameters, dtype=torch.float64)
        for start in starts.numpy():
            found = lsq_linear(exact.numpy().T, -start, (0, np.inf), method="bvls", tol=1e-15)
            expected += torch.from_numpy(start + found.x @ exact.numpy()) / len(starts)
        torch.testing.assert_close(weights_of(factory, products) @ exact, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("num_parameters", [50, 10_000])
def test_dependent_gradients_have_exact_products(num_parameters: int) -> None:
    jacobian = torch.randn(3, num_parameters, generator=torch.Generator().manual_seed(0))
    jacobian[1] = -3 * jacobian[0]
    exact = jacobian.double() @ jacobian.double().T
    torch.testing.assert_close(gramian(jacobian), exact, rtol=1e-14, atol=1e-14 * num_parameters)
    features = FeatureProducts(3)
    features.start_batch(["a", "b", "c"])
    for task, row in zip("abc", jacobian, strict=True):
        features.add(task, [row], [row])
    features.end_batch()
    torch.testing.assert_close(features.gramian(), exact, rtol=1e-14, atol=1e-14 * num_parameters)
