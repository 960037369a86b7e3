"""Loss weightings: closed forms, TorchJD and the papers' formulas as oracles, missing tasks, no synchronisation."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.scalarization as torchjd
from jsonargparse import ArgumentParser
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.testing.common import checkpointed
from mtl_lightning.weighting import (
    COSMOS,
    DWA,
    FAMO,
    GLS,
    IGB,
    IMTLL,
    RLW,
    STCH,
    UWSO,
    CoBa,
    GO4Align,
    LossWeighting,
    ScaleInvariantWeighting,
    UncertaintyWeighting,
)
from mtl_lightning.weighting.line_clusters import cluster_means

Factory = Callable[[Sequence[str]], LossWeighting]
NAMES = ["a", "b", "c", "d"]
LOSSES = [0.5, 2.0, 3.0, 0.01]


def numbers(names: Sequence[str]) -> dict[str, float]:
    """A number for each task that depends on nothing but its name."""
    return {name: 0.01 * (1 + ord(name[-1]) % 5) for name in names}


def mixed_uncertainty(names: Sequence[str]) -> LossWeighting:
    return UncertaintyWeighting(names, [name for name in names if ord(name[-1]) % 2], initial_log_variance=-0.5)


METHODS: dict[str, Factory] = {
    "scale-invariant": ScaleInvariantWeighting,
    "uncertainty": UncertaintyWeighting,
    "uncertainty-mixed": mixed_uncertainty,
    "dwa": DWA,
    "rlw-normal": lambda names: RLW(names, seed=1),
    "rlw-dirichlet": lambda names: RLW(names, "dirichlet", seed=1),
    "cosmos": lambda names: COSMOS(names, seed=1),
    "cosmos-linear": lambda names: COSMOS(names, 0.5, cosine=0.0, seed=1),
    "gls": GLS,
    "imtl-l": IMTLL,
    "stch": STCH,
    "stch-preferences": lambda names: STCH(names, 0.1, numbers(names), reference=numbers(names)),
    "stch-warmup": lambda names: STCH(names, 0.5, numbers(names), warmup_epochs=2),
    "uw-so": UWSO,
    "uw-so-hot": lambda names: UWSO(names, temperature=20.0),
    "igb": IGB,
    "igb-first": lambda names: IGB(names, base_epoch=1),
    "go4align": GO4Align,
    "go4align-fast": lambda names: GO4Align(names, num_groups=3, step_size=0.5),
    "famo": FAMO,
    "famo-minima": lambda names: FAMO(names, learning_rate=0.1, gamma=0.0, min_losses=numbers(names)),
    "coba": CoBa,
    "coba-window": lambda names: CoBa(names, window=3, warmup_validations=3, tau=1.0),
}
DRAWN = ("rlw", "cosmos")
"""Methods whose random numbers depend on how many tasks there are."""

all_methods = pytest.mark.parametrize("factory", METHODS.values(), ids=METHODS)


def double(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def ask(weighting: LossWeighting, losses: Sequence[float], present: Sequence[int] | None = None) -> Tensor:
    """The weights, derivatives of the objective by the losses."""
    evidence = double(losses).requires_grad_()
    objective = weighting(evidence, torch.tensor(range(len(losses)) if present is None else present))
    return torch.autograd.grad(objective, evidence)[0]


def number(value: Tensor) -> float:
    return float(value.detach())


def objective(weighting: LossWeighting, losses: Sequence[float]) -> float:
    return number(weighting(double(losses), torch.arange(len(losses))))


def live(weighting: LossWeighting, present: Sequence[int], num_rounds: int = 4) -> LossWeighting:
    """Steps, epochs and validations whose losses depend on the tasks' names and the round."""
    random, tasks = torch.Generator().manual_seed(5), torch.tensor(present)
    columns = [NAMES.index(weighting.tasks[task]) for task in present]
    for _ in range(num_rounds):
        first, second, third = 0.5 + torch.rand(3, 4, generator=random, dtype=torch.float64)[:, columns]
        ask(weighting, first.tolist(), present)
        if weighting.needs_losses_after:
            weighting.on_step_end(second, tasks)
        weighting.on_epoch_end(second, tasks)
        weighting.on_validation_end(third, tasks)
        with torch.no_grad():
            for parameter in weighting.parameters():
                parameter += torch.tensor([math.sin(ord(name)) for name in weighting.tasks])
    return weighting


# -- all methods -------------------------------------------------------------------------------------------------------
@all_methods
@pytest.mark.parametrize("num_tasks", [2, 3, 8, 32])
def test_contract(factory: Factory, num_tasks: int) -> None:
    check_weighting(factory, num_tasks)


@all_methods
def test_the_order_of_the_tasks_does_not_matter(factory: Factory) -> None:
    order = [2, 0, 3, 1]
    expected = ask(live(factory(NAMES), range(4)), LOSSES)[order]
    found = ask(live(factory(NAMES), range(4)), [LOSSES[i] for i in order], order)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("present", [[0], [3], [0, 2], [1, 2, 3]], ids=str)
@pytest.mark.parametrize("method", [name for name in METHODS if name.partition("-")[0] not in DRAWN])
def test_a_task_that_never_appears_does_not_matter(method: str, present: list[int]) -> None:
    losses, everyone = [LOSSES[task] for task in present], range(len(present))
    among_others = live(METHODS[method](NAMES), present)
    alone = live(METHODS[method]([NAMES[task] for task in present]), everyone)
    torch.testing.assert_close(ask(among_others, losses, present), ask(alone, losses))


@all_methods
def test_training_goes_on_from_a_checkpoint(factory: Factory) -> None:
    weighting, fresh = live(factory(NAMES), range(4)), factory(NAMES)
    fresh.load_state_dict(checkpointed(weighting.state_dict()))
    for other in (weighting, fresh):
        live(other, [0, 2], num_rounds=2)
    assert torch.equal(ask(fresh, LOSSES), ask(weighting, LOSSES))


@all_methods
def test_a_checkpoint_does_not_overrule_what_the_config_says(factory: Factory) -> None:
    told = {"preferences", "reference", "min_losses", "factors"}
    assert not told & factory(NAMES).state_dict().keys()


class ForbidsCopies(TorchDispatchMode):
    """No tensor travels between host and device in a way that waits."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        values = [value for value in tree_leaves((args, kwargs, result)) if isinstance(value, Tensor)]
        waits = len({value.device.type for value in values}) > 1 and not (kwargs or {}).get("non_blocking")
        assert not waits, f"{func} copies between devices"
        return result


class ReadsAValue(LossWeighting):
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.sum() * (2 if losses.max() > 1 else 1)


class CopiesToTheDevice(LossWeighting):
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return (losses * torch.ones(len(losses)).to(losses.device)).sum()


def train_on_meta(weighting: LossWeighting, present: Sequence[int]) -> None:
    """A step and an epoch on a device whose tensors have no values: what asks for one, raises."""
    losses, tasks = torch.rand(len(present), device="meta"), torch.tensor(present, device="meta")
    evidence = losses.clone().requires_grad_()
    with ForbidsCopies():
        torch.autograd.backward(weighting(evidence, tasks))
        if weighting.needs_losses_after:
            weighting.on_step_end(losses, tasks)
        weighting.on_epoch_end(losses, tasks)
    assert evidence.grad is not None and evidence.grad.device.type == "meta"
    weighting.on_validation_end(torch.rand(len(present), dtype=torch.float64), torch.tensor(present))


@all_methods
def test_nothing_waits_for_the_device(factory: Factory) -> None:
    weighting = factory(NAMES).to("meta")
    for present in (range(4), [1, 3], range(4), [2], range(4)):
        train_on_meta(weighting, present)


@pytest.mark.parametrize("broken", [ReadsAValue, CopiesToTheDevice])
def test_that_test_catches_what_waits(broken: Factory) -> None:
    with pytest.raises((RuntimeError, AssertionError), match=r"meta tensor|between devices"):
        train_on_meta(broken(NAMES), range(4))


@all_methods
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_weights_are_finite_at_any_scale(factory: Factory, scale: float) -> None:
    weighting = live(factory(NAMES), range(4))
    evidence = (scale * torch.tensor(LOSSES) + 0.06).requires_grad_()
    (weights,) = torch.autograd.grad(weighting(evidence, torch.arange(4)), evidence)
    assert weights.isfinite().all()
    assert (weights >= 0).all() or getattr(weighting, "cosine", 0)


# -- logarithms --------------------------------------------------------------------------------------------------------
def test_scale_invariant_weights_are_inverse_losses() -> None:
    weighting = ScaleInvariantWeighting(NAMES)
    torch.testing.assert_close(ask(weighting, LOSSES), 1 / double(LOSSES))
    assert objective(weighting, LOSSES) == pytest.approx(math.log(math.prod(LOSSES)))


def test_gls_is_the_geometric_mean() -> None:
    evidence = double(LOSSES).requires_grad_()
    expected = torchjd.GeometricMean()(evidence)
    torch.testing.assert_close(ask(GLS(NAMES), LOSSES), torch.autograd.grad(expected, evidence)[0])
    assert objective(GLS(NAMES), LOSSES) == pytest.approx(math.prod(LOSSES) ** 0.25)


def test_gls_of_many_tasks_stays_within_range() -> None:
    names = [f"t{i}" for i in range(32)]
    for loss in (1e-10, 1e10):
        evidence = torch.full((32,), loss, requires_grad=True)
        assert evidence.prod() in (0, float("inf"))
        value = GLS(names)(evidence, torch.arange(32))
        assert number(value) == pytest.approx(loss, rel=1e-5)
        (weights,) = torch.autograd.grad(value, evidence)
        torch.testing.assert_close(weights, torch.full((32,), 1 / 32), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "factory", [ScaleInvariantWeighting, GLS, UWSO, IGB, GO4Align, METHODS["igb-first"], METHODS["stch-warmup"]]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_of_zero_weighs_nothing_and_a_negative_one_is_not_a_number(factory: Factory, dtype: torch.dtype) -> None:
    for loss, expected in ((0.0, 0.0), (-1.0, float("nan"))):
        evidence = torch.tensor([loss, 1.0], dtype=dtype, requires_grad=True)
        value = factory(["a", "b"])(evidence, torch.arange(2))
        (weights,) = torch.autograd.grad(value, evidence)
        torch.testing.assert_close(weights[0].item(), expected, equal_nan=True)
        assert value.isfinite() == (loss == 0)
        if loss == 0:
            assert weights[1].isfinite()


# -- learned scales ----------------------------------------------------------------------------------------------------
def test_uncertainty_has_the_forms_of_the_paper() -> None:
    weighting = UncertaintyWeighting(["c", "r"], regression=["r"])
    with torch.no_grad():
        weighting.log_variances.copy_(torch.tensor([4.0, 9.0]).log())  # sigma is 2 and 3
    torch.testing.assert_close(ask(weighting, [1.0, 1.0]), double([1 / 4, 1 / (2 * 9)]))
    expected = 5 / 2**2 + math.log(2) + 7 / (2 * 3**2) + math.log(3)
    assert objective(weighting, [5.0, 7.0]) == pytest.approx(expected, rel=1e-6)


def test_uncertainty_agrees_with_torchjd_in_the_form_of_regression() -> None:
    weighting, other = UncertaintyWeighting(NAMES, NAMES, initial_log_variance=0.3), torchjd.UW(4)
    torch.nn.init.constant_(other.log_var, 0.3)
    assert objective(weighting, LOSSES) == pytest.approx(number(other(double(LOSSES))))


def test_learned_scales_rest_where_the_papers_say() -> None:
    """IMTL-L: scaled losses of 1; uncertainty: variances equal to the squared error, and to twice a cross-entropy."""
    losses, tasks = double(LOSSES), torch.arange(4)
    imtl, uncertainty = IMTLL(NAMES).double(), UncertaintyWeighting(NAMES, regression=["a", "b"]).double()
    with torch.no_grad():
        imtl.scales.copy_(-losses.log())
        uncertainty.log_variances.copy_((losses * double([1, 1, 2, 2])).log())
    for weighting, parameter in ((imtl, imtl.scales), (uncertainty, uncertainty.log_variances)):
        (gradient,) = torch.autograd.grad(weighting(losses, tasks), parameter)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    torch.testing.assert_close(ask(imtl, LOSSES) * losses, torch.ones_like(losses))


def test_imtl_l_agrees_with_torchjd() -> None:
    weighting, other = IMTLL(NAMES), torchjd.IMTLL(4)
    for scales in (weighting.scales, other.log_scale):
        torch.nn.init.constant_(scales, -0.7)
    assert objective(weighting, LOSSES) == pytest.approx(number(other(double(LOSSES))))
    torch.testing.assert_close(ask(weighting, LOSSES), torch.full((4,), math.exp(-0.7), dtype=torch.float64))


def test_only_the_scales_of_tasks_present_get_a_gradient() -> None:
    for weighting in (IMTLL(NAMES), UncertaintyWeighting(NAMES)):
        weighting(torch.tensor([3.0, 5.0]), torch.tensor([3, 1])).backward()
        (parameter,) = weighting.parameters()
        assert parameter.grad is not None
        assert (parameter.grad != 0).tolist() == [False, True, False, True]


# -- DWA ---------------------------------------------------------------------------------------------------------------
def test_dwa_agrees_with_torchjd() -> None:
    weighting, other, tasks = DWA(NAMES, temperature=0.7).double(), torchjd.DWA(temperature=0.7), torch.arange(4)
    random = torch.Generator().manual_seed(0)
    for epoch in range(5):
        batches = torch.rand(3, 4, generator=random, dtype=torch.float64)
        for losses in batches:
            assert objective(weighting, losses.tolist()) == pytest.approx(float(other(losses)), rel=1e-12), epoch
        weighting.on_epoch_end(batches.mean(0), tasks)
        other.step()


def test_dwa_keeps_the_ratio_of_a_task_that_misses_an_epoch() -> None:
    weighting, everyone = DWA(["a", "b", "c"]).double(), torch.arange(3)
    weighting.on_epoch_end(double([4.0, 4.0, 4.0]), everyone)
    assert ask(weighting, [1.0, 1.0, 1.0]).tolist() == [1, 1, 1]
    weighting.on_epoch_end(double([1.0, 2.0]), torch.tensor([0, 2]))

    def expected(*ratios: float) -> Tensor:
        return len(ratios) * torch.softmax(double(ratios) / 2, 0)

    torch.testing.assert_close(ask(weighting, [1.0, 1.0, 1.0]), expected(1 / 4, 1, 2 / 4))
    weighting.on_epoch_end(double([3.0, 1.0]), torch.tensor([1, 2]))
    torch.testing.assert_close(ask(weighting, [1.0, 1.0, 1.0]), expected(1 / 4, 3 / 4, 1 / 2))
    torch.testing.assert_close(ask(weighting, [1.0, 1.0], [2, 0]), expected(1 / 2, 1 / 4))


@pytest.mark.parametrize("means", [(0.0, 1.0), (0.0, 0.0), (1.0, 0.0)], ids=str)
def test_dwa_after_a_mean_loss_of_zero(means: tuple[float, float]) -> None:
    weighting = DWA(["a", "b"])
    for mean in means:
        weighting.on_epoch_end(torch.tensor([mean, 1.0]), torch.arange(2))
    weights = ask(weighting, [1.0, 1.0])
    assert weights.isfinite().all()
    assert float(weights.sum()) == pytest.approx(2)


@pytest.mark.parametrize(("means", "ratio"), [((0.0, 0.0), 1.0), ((4.0, 0.0), 0.0), ((4.0, 3.0), 0.75)], ids=str)
def test_dwa_of_ratios_with_zeros(means: tuple[float, float], ratio: float) -> None:
    weighting = DWA(["a", "b"])
    for mean in means:
        weighting.on_epoch_end(torch.tensor([mean, 1.0]), torch.arange(2))
    torch.testing.assert_close(ask(weighting, [1.0, 1.0]), 2 * torch.softmax(double([ratio, 1.0]) / 2, 0))


@pytest.mark.parametrize("means", [(1e-30, 1e20), (0.0, 100.0)], ids=str)
def test_dwa_of_a_ratio_beyond_the_numbers_weighs_that_task_alone(means: tuple[float, float]) -> None:
    weighting = DWA(["a", "b"])
    for mean in means:
        weighting.on_epoch_end(torch.tensor([mean, 1.0]), torch.arange(2))
    assert ask(weighting, [1.0, 1.0]).tolist() == [2, 0]


@pytest.mark.parametrize("means", [(-1.0, 1.0), (1.0, -1.0), (-1.0, -2.0)], ids=str)
def test_dwa_is_not_defined_for_negative_mean_losses(means: tuple[float, float]) -> None:
    weighting, tasks = DWA(["a", "b"]), torch.arange(2)
    weighting.on_epoch_end(torch.tensor([means[0], 1.0]), tasks)
    assert ask(weighting, [1.0, 1.0]).tolist() == [1, 1]  # there is no ratio yet
    weighting.on_epoch_end(torch.tensor([means[1], 1.0]), tasks)
    assert ask(weighting, [1.0, 1.0]).isnan().all()
    assert weighting.undefined(torch.ones(2), tasks).tolist() == [True, False]
    assert ask(weighting, [1.0], [1]).tolist() == [1]
    for _ in range(2):
        weighting.on_epoch_end(torch.tensor([1.0, 1.0]), tasks)
    assert ask(weighting, [1.0, 1.0]).tolist() == [1, 1]


# -- RLW ---------------------------------------------------------------------------------------------------------------
def draws(weighting: RLW, present: Sequence[int]) -> Tensor:
    return torch.stack([ask(weighting, [1.0] * len(present), present) for _ in range(2000)])


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
@pytest.mark.parametrize("present", [[0, 1, 2, 3], [3, 1]], ids=str)
def test_rlw_draws_from_its_distribution(distribution: Any, present: list[int]) -> None:
    size = len(present)
    found = draws(RLW(NAMES, distribution, seed=0), present)
    torch.testing.assert_close(found.sum(1), torch.ones(2000, dtype=torch.float64))
    torch.testing.assert_close(found.mean(0), torch.full((size,), 1 / size, dtype=torch.float64), rtol=0.05, atol=0)
    if distribution == "dirichlet":
        variance = (size - 1) / (size**2 * (size + 1))
    else:
        independent = np.exp(np.random.default_rng(0).normal(size=(100_000, size)))
        variance = (independent / independent.sum(1, keepdims=True)).var(0).mean()
    assert float(found.var(0).mean()) == pytest.approx(variance, rel=0.1)


def test_rlw_repeats_with_its_seed_alone() -> None:
    first, second, other = RLW(NAMES, seed=3), RLW(NAMES, seed=3), RLW(NAMES, seed=4)
    random = torch.get_rng_state()
    ones = [1.0] * 4
    steps = [ask(first, ones) for _ in range(3)]
    assert all(torch.equal(step, ask(second, ones)) for step in steps)
    assert not torch.equal(steps[0], steps[1])
    assert not torch.equal(steps[0], ask(other, ones))
    assert torch.equal(torch.get_rng_state(), random)


# -- STCH --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mu", [0.01, 0.1, 1.0, 10.0])
def test_stch_agrees_with_torchjd(mu: float) -> None:
    preferences = double([0.1, 0.2, 0.3, 0.4])
    for given, other in (
        (STCH(NAMES, mu), torchjd.STCH(mu)),
        (
            STCH(NAMES, mu, dict(zip(NAMES, [1, 2, 3, 4], strict=True)), reference={"b": 0.5}).double(),
            torchjd.STCH(mu, preferences, double([0, 0.5, 0, 0])),
        ),
    ):
        evidence = double(LOSSES).requires_grad_()
        expected = other(evidence)
        assert objective(given, LOSSES) == pytest.approx(number(expected), rel=1e-6)
        torch.testing.assert_close(
            ask(given, LOSSES), torch.autograd.grad(expected, evidence)[0], rtol=1e-5, atol=1e-12
        )


def test_stch_tends_to_the_maximum() -> None:
    for mu in (1.0, 0.1, 1e-6):
        value = objective(STCH(NAMES, mu), LOSSES)
        assert 3 / 4 - 1e-9 <= value <= 3 / 4 + mu * math.log(4) + 1e-9
    torch.testing.assert_close(ask(STCH(NAMES, 1e-6), LOSSES), double([0, 0, 1 / 4, 0]))


def test_stch_compares_large_losses_in_single_precision() -> None:
    losses, weighting = torch.tensor([10000.0, 10000.0078125], requires_grad=True), STCH(["a", "b"], 0.003)
    (weights,) = torch.autograd.grad(weighting(losses, torch.arange(2)), losses)
    torch.testing.assert_close(weights.double(), ask(weighting, losses.tolist()), rtol=1e-5, atol=0)


def test_stch_after_the_warmup_is_the_form_of_the_paper_s_experiments() -> None:
    """Of means 2, 4: (loss / mean)^(1 / mu), T mu log of the sum; before, the sum of logarithms."""
    weighting, tasks, mu = STCH(["a", "b"], 0.5, warmup_epochs=2), torch.arange(2), 0.5
    for means in ([9.0, 9.0], [2.0, 4.0], [7.0, 7.0]):
        if means[0] != 7:
            torch.testing.assert_close(ask(weighting, [0.5, 3.0]), double([1 / 0.5, 1 / 3.0]))
        weighting.on_epoch_end(torch.tensor(means), tasks)
    powers = double([0.5 / 2, 3 / 4]) ** (1 / mu)
    assert objective(weighting, [0.5, 3.0]) == pytest.approx(2 * mu * math.log(float(powers.sum())))
    torch.testing.assert_close(ask(weighting, [0.5, 3.0]), 2 * powers / powers.sum() / double([0.5, 3.0]))


def test_stch_after_the_warmup_does_not_see_the_scales_of_the_losses() -> None:
    scales = double([1e-3, 1.0, 1e3, 1e6])
    found = []
    for scale in (torch.ones(4), scales):
        weighting = STCH(NAMES, 0.3, warmup_epochs=1).double()
        weighting.on_epoch_end(double([1.0, 2.0, 3.0, 4.0]) * scale, torch.arange(4))
        found.append(ask(weighting, (double(LOSSES) * scale).tolist()) * scale)
    torch.testing.assert_close(found[0], found[1])


# -- UW-SO -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0, 1e6])
def test_uw_so_is_the_softmax_of_the_inverse_losses(temperature: float) -> None:
    expected = torch.softmax(1 / (temperature * double(LOSSES)), 0)
    torch.testing.assert_close(ask(UWSO(NAMES, temperature), LOSSES), expected)
    assert objective(UWSO(NAMES, temperature), LOSSES) == pytest.approx(float(expected @ double(LOSSES)))


def test_uw_so_of_the_smallest_losses_there_are() -> None:
    for losses, expected in (([1e-45, 1.0], [1, 0]), ([0.0, 0.0], [0, 0]), ([0.0, 2.0], [0, 1])):
        evidence = torch.tensor(losses, requires_grad=True)
        (weights,) = torch.autograd.grad(UWSO(["a", "b"], 1e-6)(evidence, torch.arange(2)), evidence)
        assert weights.tolist() == expected


# -- IGB ---------------------------------------------------------------------------------------------------------------
def test_igb_is_the_formula_of_the_paper_after_the_base_epoch() -> None:
    weighting, tasks, means = IGB(NAMES).double(), torch.arange(4), double([2.0, 2.0, 4.0, 0.01])
    for epoch in range(4):
        ratios = double(LOSSES) / means
        expected = 4 * torch.softmax(ratios, 0) if epoch > 1 else torch.ones(4, dtype=torch.float64)
        torch.testing.assert_close(ask(weighting, LOSSES), expected / double(LOSSES))
        assert objective(weighting, LOSSES) == pytest.approx(float(expected @ double(LOSSES).log()))
        weighting.on_epoch_end(means if epoch == 1 else double([9.0] * 4), tasks)


def test_igb_takes_the_first_epoch_that_has_a_task() -> None:
    weighting = IGB(["a", "b", "c"], base_epoch=2).double()
    for means, present in (([1.0], [0]), ([2.0, 0.0], [0, 1]), ([7.0, 8.0], [0, 1]), ([9.0, 9.0, 9.0], [0, 1, 2])):
        before = weighting.means.tolist()
        weighting.on_epoch_end(double(means), torch.tensor(present))
    assert before == [2, 8, 0]
    assert weighting.means.tolist() == [2, 8, 9]


def test_igb_does_not_see_the_scales_of_the_losses() -> None:
    scales, found = double([1e-6, 1.0, 1e3, 1e6]), []
    for scale in (torch.ones(4), scales):
        weighting = IGB(NAMES, base_epoch=1).double()
        weighting.on_epoch_end(double([1.0, 2.0, 3.0, 4.0]) * scale, torch.arange(4))
        found.append(ask(weighting, (double(LOSSES) * scale).tolist()) * scale)
    torch.testing.assert_close(found[0], found[1])


# -- GO4Align ----------------------------------------------------------------------------------------------------------
def partitions(size: int) -> list[list[int]]:
    """The cluster of each of the numbers, in all ways."""
    ways = [[0]]
    for _ in range(size - 1):
        ways = [[*way, label] for way in ways for label in range(max(way) + 2)]
    return ways


def means_by_trying(values: Tensor, num_clusters: int) -> Tensor:
    tried = []
    for way in partitions(len(values)):
        if max(way) < num_clusters:
            groups = torch.nn.functional.one_hot(torch.tensor(way)).double()
            means = groups @ ((groups.T @ values) / groups.sum(0))
            tried.append((float((values - means).square().sum()), means))
    return min(tried, key=lambda one: one[0])[1]


@pytest.mark.parametrize("num_clusters", [1, 2, 3, 7])
def test_clusters_are_the_best_of_all(num_clusters: int) -> None:
    random = torch.Generator().manual_seed(0)
    for size in (1, 2, 3, 6):
        for scale in (1e-30, 1.0, 1e30):
            values = scale * torch.rand(size, generator=random, dtype=torch.float64) ** 3
            expected = means_by_trying(values / scale, num_clusters) * scale
            torch.testing.assert_close(cluster_means(values, torch.ones(size), num_clusters), expected)


def test_what_counts_nothing_leaves_the_clusters_alone() -> None:
    values = double([5.0, 0.0, 1.0, 0.0, 2.0])
    found = cluster_means(values, double([1, 0, 1, 0, 1]), 2)
    torch.testing.assert_close(found[[0, 2, 4]], double([5, 1.5, 1.5]))


def test_go4align_is_the_algorithm_of_the_paper() -> None:
    weighting, probabilities = GO4Align(NAMES, 2, step_size=0.3).double(), double([0.25] * 4)
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        losses = 0.1 + 3 * torch.rand(4, generator=random, dtype=torch.float64)
        probabilities = probabilities * torch.exp(-0.3 * losses)
        probabilities = probabilities / probabilities.sum()
        expected = means_by_trying(losses.sum() / losses * probabilities, 2)
        torch.testing.assert_close(ask(weighting, losses.tolist()), expected)


def test_go4align_leaves_missing_tasks_alone() -> None:
    weighting = GO4Align(NAMES, step_size=0.5).double()
    before = torch.softmax(weighting.log_probabilities, 0)
    ask(weighting, [2.0, 0.1], [1, 3])
    after = torch.softmax(weighting.log_probabilities, 0)
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])
    assert after[3] > before[3] > after[1]


# -- FAMO --------------------------------------------------------------------------------------------------------------
def random_steps(num_steps: int, num_tasks: int) -> Tensor:
    """Losses before and after each step [num_steps, 2, num_tasks]."""
    return 0.3 + torch.rand(num_steps, 2, num_tasks, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("minima", [None, [0.1, 0.0, 0.2, 0.05]], ids=["no-minima", "minima"])
def test_famo_agrees_with_torchjd(minima: list[float] | None) -> None:
    given = None if minima is None else dict(zip(NAMES, minima, strict=True))
    weighting = FAMO(NAMES, gamma=0.01, min_losses=given).double()
    other = torchjd.FAMO(4, weight_decay=0.01, min_losses=None if minima is None else torch.tensor(minima)).double()
    for before, after in random_steps(50, 4):
        evidence = before.clone().requires_grad_()
        expected = other(evidence)
        assert objective(weighting, before.tolist()) == pytest.approx(number(expected), rel=1e-9, abs=1e-12)
        weights = ask(weighting, before.tolist())
        torch.testing.assert_close(weights, torch.autograd.grad(expected, evidence)[0])
        assert float(weights.sum()) == pytest.approx(1)
        other.update(after)
        weighting.on_step_end(after, torch.arange(4))
        torch.testing.assert_close(weighting.logits, other._w.detach(), rtol=1e-9, atol=1e-12)
    assert weighting.logits.abs().max() > 0.1


def test_famo_in_single_precision_follows_the_optimizer_of_torch() -> None:
    weighting, other = FAMO(NAMES), torchjd.FAMO(4)
    for before, after in random_steps(50, 4).float():
        weighting(before, torch.arange(4))
        weighting.on_step_end(after, torch.arange(4))
        other(before)
        other.update(after)
    torch.testing.assert_close(weighting.logits, other._w.detach(), rtol=1e-5, atol=1e-6)


def test_famo_leaves_missing_tasks_alone() -> None:
    """Two groups of tasks that take turns are two FAMOs."""
    together, apart = FAMO(NAMES).double(), [FAMO(["a", "c"]).double(), FAMO(["d", "b"]).double()]
    for step, (before, after) in enumerate(random_steps(20, 2)):
        present, alone = [[0, 2], [3, 1]][step % 2], apart[step % 2]
        torch.testing.assert_close(ask(together, before.tolist(), present), ask(alone, before.tolist()))
        together.on_step_end(after, torch.tensor(present))
        alone.on_step_end(after, torch.arange(2))
    torch.testing.assert_close(together.logits[[0, 2]], apart[0].logits)
    torch.testing.assert_close(together.logits[[3, 1]], apart[1].logits)


def test_famo_turns_to_the_task_that_lags() -> None:
    weighting = FAMO(["fast", "slow"])
    for _ in range(30):
        ask(weighting, [1.0, 1.0])
        weighting.on_step_end(torch.tensor([0.5, 0.99]), torch.arange(2))
    fast, slow = ask(weighting, [1.0, 1.0]).tolist()
    assert slow > 2 * fast


@pytest.mark.parametrize("after", [[math.nan, 1.0], [-1.0, 1.0], [math.inf, 1.0]], ids=str)
def test_famo_learns_nothing_from_losses_without_a_logarithm(after: list[float]) -> None:
    weighting = FAMO(["a", "b"])
    ask(weighting, [1.0, 2.0])
    weighting.on_step_end(torch.tensor([0.5, 1.9]), torch.arange(2))
    before = {name: value.clone() for name, value in weighting.named_buffers()}
    weighting.on_step_end(torch.tensor(after), torch.arange(2))
    for name, value in weighting.named_buffers():
        assert torch.equal(value, before[name]), name


# -- CoBa --------------------------------------------------------------------------------------------------------------
def coba_by_loops(losses: np.ndarray, window: int, start: int, tau: float) -> np.ndarray:
    """The weights after all validations [num_validations, K], from the paper's formulas one by one."""

    def softmax(values: Sequence[float]) -> np.ndarray:
        return np.exp(values) / np.exp(values).sum()

    num_validations, num_tasks = losses.shape
    ratios = losses / losses[0]
    slopes = [
        [np.polyfit(range(len(part)), part, 1)[0] for part in ratios[max(0, t - window) : t].T]
        for t in range(start, num_validations + 1)
    ]
    now, recent, worst = slopes[-1], slopes[-window:], [max(step) for step in slopes]
    relative = softmax([num_tasks * alpha / sum(abs(a) for a in now) for alpha in now])
    absolute = softmax([-len(recent) * now[i] / sum(abs(step[i]) for step in recent) for i in range(num_tasks)])
    size = sum(abs(alpha) for alpha in worst)
    factor = min(len(worst) * softmax([-tau * len(worst) * alpha / size for alpha in worst])[-1], 1)
    return np.asarray(factor * relative + (1 - factor) * absolute)


@pytest.mark.parametrize(("window", "start", "tau"), [(2, 2, 5.0), (5, 2, 5.0), (4, 3, 1.0), (20, 5, 0.3)])
def test_coba_agrees_with_the_formulas(window: int, start: int, tau: float) -> None:
    losses = np.random.default_rng(window).random((12, 3)) + np.linspace(3, 1, 12)[:, None]
    weighting = CoBa(["a", "b", "c"], window, start, tau).double()
    for t in range(1, 13):
        weighting.on_validation_end(torch.tensor(losses[t - 1]), torch.arange(3))
        expected = coba_by_loops(losses[:t], window, start, tau) if t >= start else np.full(3, 1 / 3)
        np.testing.assert_allclose(ask(weighting, [1.0, 1.0, 1.0]).numpy(), expected, rtol=1e-9)


def test_coba_serves_the_slow_and_holds_back_the_diverging() -> None:
    steps = np.arange(20)
    fast, slow = 0.8**steps, 0.95**steps
    diverging = np.where(steps < 10, 0.9**steps, 0.9**10 + 0.1 * (steps - 10))
    weighting, weights = CoBa(["fast", "slow", "diverging"]), []
    for losses in np.stack([fast, slow, diverging], axis=1):
        weighting.on_validation_end(torch.tensor(losses), torch.arange(3))
        weights.append(ask(weighting, [1.0, 1.0, 1.0]).tolist())
    assert weights[4][1] > weights[4][2] > weights[4][0]
    assert weights[-1][2] == min(weights[-1]) < 0.15


def test_coba_weighs_the_tasks_present() -> None:
    weighting = CoBa(["a", "b", "c"])
    for losses in ([1.0, 1.0, 1.0], [0.9, 0.5, 0.1]):
        weighting.on_validation_end(double(losses), torch.arange(3))
    whole = ask(weighting, [1.0, 1.0, 1.0])
    assert float(whole.sum()) == pytest.approx(1)
    torch.testing.assert_close(ask(weighting, [1.0, 1.0], [2, 0]), whole[[2, 0]] / whole[[2, 0]].sum())


def test_coba_passes_over_validations_that_miss_a_task() -> None:
    """Slopes are per validation: a line with a gap has the same slope, and a task with one point takes the mean."""
    line, gap, single = 1 - 0.1 * np.arange(5), [1, 1, 0, 1, 1], [0, 0, 1, 0, 0]
    weighting = CoBa(["line", "gap", "single", "nan"])
    for t in range(5):
        present = [0, *([1] if gap[t] else []), *([2] if single[t] else []), 3]
        losses = [float("nan") if task == 3 else line[t] for task in present]
        weighting.on_validation_end(double(losses), torch.tensor(present))
    torch.testing.assert_close(ask(weighting, [1.0] * 4), torch.full((4,), 0.25, dtype=torch.float64))
    assert weighting.slopes[:2, -1].tolist() == pytest.approx([-0.1, -0.1])
    assert weighting.slopes[2:].isnan().all()


@pytest.mark.parametrize("losses", [[0.0, 1.0], [1.0, 1.0], [1e-300, 1e300]], ids=str)
def test_coba_of_flat_and_extreme_losses_is_finite(losses: list[float]) -> None:
    weighting = CoBa(["a", "b"])
    for factor in (1.0, 1.0, 2.0, 1.0):
        weighting.on_validation_end(factor * double(losses), torch.arange(2))
        weights = ask(weighting, [1.0, 1.0])
        assert weights.isfinite().all() and float(weights.sum()) == pytest.approx(1)


def test_coba_is_not_defined_for_a_negative_first_loss() -> None:
    weighting, tasks = CoBa(["a", "b"]), torch.arange(2)
    for factor in (1.0, 0.9, 0.8):
        weighting.on_validation_end(factor * double([-1.0, 1.0]), tasks)
        assert ask(weighting, [1.0, 1.0]).isnan().all()
        assert weighting.undefined(torch.ones(2), tasks).tolist() == [True, False]
        assert ask(weighting, [1.0], [1]).tolist() == [1]
    weighting = CoBa(["a", "b"])
    for losses in ([1.0, 1.0], [-1.0, 0.9]):  # only the first is divided by
        weighting.on_validation_end(double(losses), tasks)
    assert ask(weighting, [1.0, 1.0]).isfinite().all()


def test_coba_weighs_a_task_that_diverges_alone() -> None:
    weighting = CoBa(["diverging", "other"], window=200)
    for t in range(100):
        weighting.on_validation_end(double([1.0 if t < 99 else 1e9, 1 - 1e-3 * t]), torch.arange(2))
    assert ask(weighting, [1.0, 1.0])[0] < 1e-30
    assert ask(weighting, [2.0], [0]).tolist() == [1]


# -- arguments ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UncertaintyWeighting(NAMES, ["depht"]), "`regression` names the unknown task 'depht'; choose from a"),
        (lambda: UncertaintyWeighting(["depth"], ["depht"]), "did you mean 'depth'"),
        (lambda: UncertaintyWeighting(NAMES, initial_log_variance=math.inf), "`initial_log_variance` must be a finite"),
        (lambda: DWA(NAMES, temperature=0), "`temperature` must be a finite number above 0, found 0"),
        (lambda: RLW(NAMES, "dirichlett"), "`distribution` is 'dirichlett'; did you mean 'dirichlet'"),
        (lambda: COSMOS(NAMES, concentration=0), "`concentration` must be a finite number above 0, found 0"),
        (lambda: COSMOS(NAMES, cosine=-1), "`cosine` must be a finite number of at least 0, found -1"),
        (lambda: STCH(NAMES, mu=-1), "`mu` must be a finite number above 0, found -1"),
        (lambda: STCH(NAMES, warmup_epochs=-1), "`warmup_epochs` must be at least 0, found -1"),
        (lambda: STCH(NAMES, preferences={"a": 1}), "`preferences` misses b, c, d"),
        (lambda: STCH(["a"], preferences={"a": 0}), r"`preferences\.a` must be a finite number above 0"),
        (lambda: STCH(NAMES, reference={"e": 1}), "`reference` names the unknown task 'e'"),
        (lambda: STCH(NAMES, reference={"a": math.nan}), r"`reference\.a` must be a finite number, found nan"),
        (lambda: STCH(NAMES, reference={"a": 1}, warmup_epochs=1), "`reference` is of the form without"),
        (lambda: FAMO(NAMES, learning_rate=0), "`learning_rate` must be"),
        (lambda: FAMO(NAMES, gamma=-1e-3), "`gamma` must be a finite number of at least 0, found -0.001"),
        (lambda: FAMO(NAMES, min_losses={"A": 1}), "`min_losses` names the unknown task 'A'; did you mean 'a'"),
        (lambda: UWSO(NAMES, temperature=0), "`temperature` must be a finite number above 0, found 0"),
        (lambda: IGB(NAMES, base_epoch=0), "`base_epoch` must be at least 1, found 0"),
        (lambda: GO4Align(NAMES, num_groups=0), "`num_groups` must be at least 1, found 0"),
        (lambda: GO4Align(NAMES, step_size=math.inf), "`step_size` must be a finite number above 0, found inf"),
        (lambda: CoBa(NAMES, window=1), "`window` must be at least 2, found 1"),
        (lambda: CoBa(NAMES, warmup_validations=1), "`warmup_validations` must be at least 2"),
        (lambda: CoBa(NAMES, tau=0), "`tau` must be"),
    ],
)
def test_wrong_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("method", "config"),
    [
        (UncertaintyWeighting, "{regression: [a], initial_log_variance: -0.5}"),
        (DWA, "{temperature: 1}"),
        (RLW, "{distribution: dirichlet, seed: 7}"),
        (COSMOS, "{concentration: 0.5, cosine: 2, seed: 1}"),
        (STCH, "{mu: 0.1, preferences: {a: 1, b: 2}, reference: null, warmup_epochs: 3}"),
        (FAMO, "{learning_rate: 0.1, gamma: 0, min_losses: {b: 0.5}}"),
        (CoBa, "{window: 10, warmup_validations: 4, tau: 2}"),
    ],
)
def test_arguments_come_from_a_config(method: type[LossWeighting], config: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(method, "weighting", skip={"tasks"})
    arguments = parser.parse_string(f"weighting: {config}").weighting.as_dict()
    method(["a", "b"], **arguments)
