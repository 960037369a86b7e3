"""TorchJD's aggregators, weightings and scalarizers through the adapters."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jsonargparse
import pytest
import torch
import torchjd.aggregation as aggregation
import torchjd.scalarization as scalarization
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.testing.common import checkpointed, pickled
from mtl_lightning.weighting import Weighting
from mtl_lightning.weighting.torchjd_adapter import TorchJDAggregator, TorchJDScalarizer, TorchJDWeighting

NAMES = ["a", "b", "c"]
STATELESS = {
    "aligned-mtl": partial(TorchJDAggregator, name="AlignedMTL", arguments={"scale_mode": "rmse"}),
    "graddrop": partial(TorchJDAggregator, name="GradDrop"),
    "mgda-weighting": partial(TorchJDWeighting, name="MGDAWeighting"),
    "pcgrad-weighting": partial(TorchJDWeighting, name="PCGradWeighting"),
    "random-weighting": partial(TorchJDWeighting, name="RandomWeighting"),
    "geometric-mean": partial(TorchJDScalarizer, name="GeometricMean"),
    "stch": partial(TorchJDScalarizer, name="STCH", arguments={"mu": 0.5}),
    "random-scalarizer": partial(TorchJDScalarizer, name="Random"),
}
STATEFUL = {
    "dwa": partial(TorchJDScalarizer, name="DWA"),
    "excess-mtl": partial(TorchJDAggregator, name="ExcessMTL", arguments={"n_warmup_steps": 2}),
    "gradvac": partial(TorchJDAggregator, name="GradVac", arguments={"beta": 0.3}),
    "gradvac-weighting": partial(TorchJDWeighting, name="GradVacWeighting", arguments={"beta": 0.3}),
    "imtl-l": partial(TorchJDScalarizer, name="IMTLL"),
    "pcd-weighting": partial(TorchJDWeighting, name="PCDWeighting", arguments={"tau": [0.1, 0.2]}),
    "uncertainty": partial(TorchJDScalarizer, name="UW"),
}


def evidence(weighting: Weighting, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(len(weighting.tasks), 7, generator=generator)
    if isinstance(weighting, TorchJDWeighting):
        return jacobian.double() @ jacobian.double().T
    return jacobian.square().sum(1) if isinstance(weighting, TorchJDScalarizer) else jacobian


def ask(weighting: Weighting, seed: int) -> Tensor:
    everyone = torch.arange(len(weighting.tasks))
    if isinstance(weighting, TorchJDScalarizer):
        losses = evidence(weighting, seed).requires_grad_()
        objective = weighting(losses, everyone)
        objective.backward()
        with torch.no_grad():
            for parameter in weighting.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
        if seed % 3 == 2:
            weighting.on_epoch_end(losses.detach(), everyone)
        return losses.grad
    answer: Tensor = weighting(evidence(weighting, seed), torch.ones(len(everyone)), everyone)
    return answer


@pytest.mark.parametrize("factory", STATELESS.values(), ids=STATELESS)
@pytest.mark.parametrize("num_tasks", [2, 3, 8])
def test_contract(factory: Callable[[Sequence[str]], Weighting], num_tasks: int) -> None:
    check_weighting(factory, num_tasks)


def test_what_torchjd_refuses_is_said_with_its_name() -> None:
    weighting = TorchJDScalarizer(["a", "b"], "GeometricMean")
    with pytest.raises(UserError, match=r"TorchJD's GeometricMean: .*non-negative"):
        weighting(torch.tensor([-1.0, 1.0]), torch.arange(2))
    assert weighting.undefined(torch.tensor([0.0, 1.0]), torch.arange(2)).tolist() == [True, False]


def test_asking_what_is_undefined_changes_nothing() -> None:
    weighting, losses = TorchJDScalarizer(["a", "b"], "DWA"), torch.tensor([1.0, 2.0])
    weighting(losses, torch.arange(2))
    before = str(weighting.state_dict())
    assert weighting.undefined(losses, torch.arange(2)).tolist() == [False, False]
    assert str(weighting.state_dict()) == before


@pytest.mark.parametrize("factory", [*STATELESS.values(), *STATEFUL.values()], ids=[*STATELESS, *STATEFUL])
@pytest.mark.parametrize("num_steps", [0, 1, 5, 8])
def test_a_checkpoint_or_a_copy_goes_on_as_the_original(factory: Any, num_steps: int) -> None:
    weighting, fresh = factory(NAMES, seed=0), factory(NAMES, seed=1)
    for step in range(num_steps):
        ask(weighting, step)
        ask(fresh, step + 100)
    fresh = factory(NAMES, seed=1) if num_steps % 2 else fresh
    fresh.load_state_dict(checkpointed(weighting.state_dict()))
    copied = pickled(weighting)
    for step in range(num_steps, num_steps + 5):
        expected = ask(weighting, step)
        assert torch.equal(ask(fresh, step), expected)
        assert torch.equal(ask(copied, step), expected)


@pytest.mark.parametrize("name", ["dwa", "gradvac", "excess-mtl", "pcd-weighting", "imtl-l"])
def test_the_state_matters(name: str) -> None:
    weighting, fresh = STATEFUL[name](NAMES, seed=0), STATEFUL[name](NAMES, seed=0)
    for step in range(6):
        ask(weighting, step)
    assert not torch.equal(ask(weighting, 7), ask(fresh, 7))


def test_a_state_of_its_own_is_left_alone_by_what_happens_later() -> None:
    weighting = STATEFUL["gradvac"](NAMES)
    ask(weighting, 0)
    state = weighting.state_dict()["_extra_state"]["memory"]
    kept = {name: value.clone() for name, value in state.items() if isinstance(value, Tensor)}
    ask(weighting, 1)
    assert kept
    assert all(torch.equal(state[name], value) for name, value in kept.items())


def test_state_follows_the_gradients_to_another_device() -> None:
    weighting = STATEFUL["excess-mtl"](NAMES)
    ask(weighting, 0)
    resumed = STATEFUL["excess-mtl"](NAMES)
    resumed.load_state_dict(weighting.state_dict())
    for each in (weighting, resumed):
        each(evidence(weighting, 1).to("meta"), torch.ones(3), torch.arange(3))
        memory = each.memory
        assert memory["weighting._n_steps"] == 2, "TorchJD starts anew where it finds another device"
        assert {value.device.type for value in memory.values() if isinstance(value, Tensor)} == {"meta"}


# -- the same answers as TorchJD alone ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("adapter", "alone"),
    [
        (partial(TorchJDAggregator, name="AlignedMTL"), aggregation.AlignedMTL()),
        (partial(TorchJDAggregator, name="ConFIG"), aggregation.ConFIG()),
        (partial(TorchJDAggregator, name="IMTLG"), aggregation.IMTLG()),
        (
            partial(TorchJDWeighting, name="AlignedMTLWeighting", arguments={"pref_vector": [1, 2, 3]}),
            aggregation.AlignedMTLWeighting(torch.tensor([1.0, 2.0, 3.0]).double()),
        ),
        (partial(TorchJDWeighting, name="PCDWeighting"), aggregation.PCDWeighting()),
    ],
)
def test_answers_are_those_of_torchjd(adapter: Any, alone: Any) -> None:
    weighting = adapter(NAMES)
    for seed in range(3):
        torch.testing.assert_close(ask(weighting, seed), alone(evidence(weighting, seed)), rtol=0, atol=0)


def test_objectives_are_those_of_torchjd() -> None:
    losses = torch.tensor([0.3, 1.0, 2.0])
    found = TorchJDScalarizer(NAMES, "STCH", {"mu": 0.5})(losses, torch.arange(3))
    assert torch.equal(found, scalarization.STCH(0.5)(losses))


def test_parameters_are_trained_by_the_optimizer() -> None:
    weighting = TorchJDScalarizer(NAMES, "UW")
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.1)
    before = weighting(torch.full((3,), 4.0), torch.arange(3))
    before.backward()
    optimizer.step()
    assert weighting(torch.full((3,), 4.0), torch.arange(3)) < before
    assert [tuple(parameter.shape) for parameter in weighting.parameters()] == [(3,)]


def test_dwa_weighs_by_the_epochs_before() -> None:
    weighting = TorchJDScalarizer(["a", "b"], "DWA")
    for losses in ([4.0, 4.0], [4.0, 1.0]):
        weighting(torch.tensor(losses), torch.arange(2))
        weighting.on_epoch_end(torch.tensor(losses), torch.arange(2))
    losses = torch.ones(2, requires_grad=True)
    weighting(losses, torch.arange(2)).backward()
    torch.testing.assert_close(losses.grad, 2 * torch.softmax(torch.tensor([1.0, 0.25]) / 2.0, 0))


@pytest.mark.parametrize("name", ["graddrop", "random-weighting", "random-scalarizer"])
def test_random_numbers_come_from_the_seed_alone(name: str) -> None:
    first, second, other = (STATELESS[name](NAMES, seed=seed) for seed in (1, 1, 2))
    ours = [ask(first, 0) for _ in range(3)]
    torch.manual_seed(77)
    assert all(torch.equal(ask(second, 0), expected) for expected in ours)
    assert not all(torch.equal(ask(other, 0), expected) for expected in ours)
    assert not all(torch.equal(ours[0], later) for later in ours[1:])


# -- what is refused ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TorchJDAggregator(NAMES, "NashMTL"), "TorchJD's NashMTL cannot be used: its state, a cvxpy problem"),
        (lambda: TorchJDScalarizer(NAMES, "FAMO"), "use FAMO of mtl_lightning.weighting"),
        (lambda: TorchJDWeighting(NAMES, "MoDoWeighting"), "it needs several batches in each step"),
        (lambda: TorchJDWeighting(NAMES, "SDMGradWeighting"), "it needs several batches in each step"),
        (lambda: TorchJDWeighting(NAMES, "CRMOGMWeighting"), "it wraps another weighting"),
        (lambda: TorchJDWeighting(NAMES, "ExcessMTLWeighting"), "use TorchJDAggregator with ExcessMTL"),
        (lambda: TorchJDAggregator(NAMES, "AlignedMLT"), "no aggregator 'AlignedMLT'; did you mean 'AlignedMTL'"),
        (lambda: TorchJDWeighting(NAMES, "PCGrad"), "no weighting 'PCGrad'"),
        (lambda: TorchJDAggregator(NAMES, "Aggregator"), "no aggregator 'Aggregator'"),
        (lambda: TorchJDAggregator(NAMES, "GradVac", {"bta": 1}), "GradVac has no 'bta'; did you mean 'beta'"),
        (lambda: TorchJDAggregator(NAMES, "GradVac", {"beta": 2}), "`arguments`: TorchJD's GradVac: .*beta=2"),
        (lambda: TorchJDAggregator(NAMES, "TrimmedMean"), "`arguments`: TorchJD's TrimmedMean: .*trim_number"),
    ],
)
def test_refusals_say_why(make: Callable[[], Weighting], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("name", ["gradvac-weighting", "pcd-weighting"])
def test_what_is_kept_for_each_task_needs_all_of_them(name: str) -> None:
    weighting = STATEFUL[name](NAMES)
    with pytest.raises(UserError, match="needs all 3 in every step, found 2"):
        weighting(torch.eye(2).double(), torch.ones(2), torch.tensor([0, 2]))


def test_state_that_no_checkpoint_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def keeps_a_function(self: Any) -> None:
        make(self)
        self.schedule = len

    make = aggregation.GradVacWeighting.__init__
    monkeypatch.setattr(aggregation.GradVacWeighting, "__init__", keeps_a_function)
    with pytest.raises(UserError, match="keeps a builtin_function_or_method, which no checkpoint holds"):
        TorchJDWeighting(NAMES, "GradVacWeighting")


def test_without_torchjd_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    with pytest.raises(UserError, match=r"UPGrad needs TorchJD: pip install mtl-lightning\[torchjd\]"):
        TorchJDAggregator(NAMES, "UPGrad")


# -- from a config -----------------------------------------------------------------------------------------------------
class Model:
    def __init__(self, weighting: Callable[[Sequence[str]], Weighting]) -> None:
        self.weighting = weighting(NAMES)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["TorchJDScalarizer", "name=UW"], {}),
        (["TorchJDAggregator", "name=GradVac", "arguments.beta=0.3"], {"beta": 0.3}),
        (["TorchJDAggregator", "name=GradVac", "arguments={beta: 0.3, eps: 1e-9}"], {"beta": 0.3, "eps": 1e-9}),
        (["TorchJDWeighting", "name=AlignedMTLWeighting", "arguments={pref_vector: [1, 2, 3]}", "seed=3"], {}),
    ],
)
def test_the_command_line_names_class_and_arguments(arguments: Sequence[str], expected: Mapping[str, Any]) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model")
    name, *others = arguments
    options = [f"--model.weighting={name}", *(f"--model.weighting.{option}" for option in others)]
    weighting = parser.instantiate(parser.parse_args(options)).model.weighting
    assert type(weighting).__name__ == name
    assert weighting.name == others[0].removeprefix("name=")
    assert all(getattr(weighting._object[0], key) == value for key, value in expected.items())
