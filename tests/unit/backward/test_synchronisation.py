"""How often a step makes the host wait for the device.

There is no device here. Instead, the tensors of training say that they are on another device, and compute on the host
out of sight. Counted is what would make the host wait for a real one, as ``torch.cuda.set_sync_debug_mode`` does: a
copy to the host; a copy to the device that is not ``non_blocking``; a number or truth value read from a tensor; an
operation whose result's size depends on values. What a real device refuses (an operation on tensors of both places)
fails. What an operation does inside (an eigenvalue solver's wait for its error code, say) is not seen.
"""

import inspect
from functools import partial

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from mtl_lightning import weighting
from mtl_lightning.backward import Executor
from mtl_lightning.weighting import GramianWeighting, LossWeighting, UPGrad

DEVICE = "meta"  # the one device besides the host that every build of torch knows
TASKS = ("a", "b", "c")
ONE_INPUT, SEVERAL_INPUTS = (TASKS,), (("a",), ("b",), ("c",))
ARGUMENTS = {
    "FixedWeighting": {"weights": dict.fromkeys(TASKS, 0.5)},
    "PIVRG": {"baselines": dict.fromkeys(TASKS, 0.5)},
    "TorchJDAggregator": {"name": "UPGrad"},
    "TorchJDScalarizer": {"name": "Mean"},
    "TorchJDWeighting": {"name": "UPGradWeighting"},
}
STEPS = 4
COPY = "aten._to_copy.default"


@pytest.fixture(autouse=True)
def autocast_knows_the_device(monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)


@pytest.fixture(autouse=True)
def random_numbers_come_from_the_host(monkeypatch):
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())


def methods(family):
    found = {name: getattr(weighting, name) for name in weighting.__all__}
    return {
        name: partial(value, **ARGUMENTS.get(name, {}))
        for name, value in found.items()
        if inspect.isclass(value) and issubclass(value, family) and not inspect.isabstract(value)
    }


class OnDevice(torch.Tensor):
    """A tensor that says that it is on the device; ``hidden`` has its values."""

    @staticmethod
    def __new__(cls, hidden):
        layout = {"strides": hidden.stride(), "storage_offset": hidden.storage_offset(), "dtype": hidden.dtype}
        pretended = torch.Tensor._make_wrapper_subclass(cls, hidden.size(), device=DEVICE, **layout)
        pretended.hidden = hidden
        return pretended

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), keywords=None):
        raise AssertionError(f"{operation} outside of the device")


class Lists(TorchFunctionMode):
    """Tensors made from lists are made on the host and copied, as for a real device."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if function in (torch.tensor, torch.as_tensor) and keywords.get("device") is not None:
            device = keywords.pop("device")
            return function(*arguments, **keywords).to(device)
        return function(*arguments, **keywords)


class Device(TorchDispatchMode):
    """There is a device while it is entered; ``waits`` names the operations that made the host wait for it."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        tensors = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, torch.Tensor)]
        here = any(isinstance(tensor, OnDevice) for tensor in tensors)
        there = here if keywords.get("device") is None else keywords["device"].type == DEVICE
        if operation is torch.ops.aten._to_copy.default:
            waits = (here and not there) or (there and not here and not keywords.get("non_blocking"))
        elif operation is torch.ops.aten.copy_.default:
            target, source = (isinstance(tensor, OnDevice) for tensor in arguments[:2])
            blocking = not (arguments[2:] or keywords.get("non_blocking"))
            waits = (source and not target) or (target and not source and blocking)
        else:
            waits = here and depends_on_values(operation, arguments)
            mixes = here and any(tensor.dim() and not isinstance(tensor, OnDevice) for tensor in tensors)
            assert not mixes, f"{operation} has operands on the host and on the device"
        self.waits += [str(operation)] if waits else []
        if "device" in keywords:
            keywords["device"] = torch.device("cpu")
        hidden, options = tree_map(lambda x: x.hidden if isinstance(x, OnDevice) else x, (arguments, keywords))
        result = operation(*hidden, **options)
        if operation._schema.name.endswith("_"):
            return arguments[0] if operation._schema.returns else None
        if "out" in keywords:
            return keywords["out"]
        return tree_map(lambda x: OnDevice(x) if there and isinstance(x, torch.Tensor) else x, result)


def depends_on_values(operation, arguments):
    if "index" in operation._schema.name:  # these are tagged whatever they are indexed by
        return any(leaf.dtype == torch.bool for leaf in tree_leaves(arguments[1]) if isinstance(leaf, torch.Tensor))
    return bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(operation.tags))


def waits_of_steps(make, groups=SEVERAL_INPUTS, check_finite=True, **options):
    """What each step waits for but the first one, which fills caches."""
    torch.manual_seed(0)
    found = []
    with Device() as device, Lists():
        encoder = nn.Sequential(nn.Linear(4, 5, device=DEVICE), nn.Tanh())
        heads = nn.ModuleDict({task: nn.Linear(5, 1, device=DEVICE) for task in TASKS})
        own = {task: head.parameters() for task, head in heads.items()}
        balance = make(TASKS).to(DEVICE)
        executor = Executor(balance, encoder.parameters(), own, **options)
        executor.check_finite = check_finite
        executor.start_epoch(0)
        for _ in range(STEPS):
            inputs = torch.randn(8, 4, device=DEVICE)
            device.waits.clear()

            def losses_of(group, features):
                return {task: (heads[task](features) - 1).square().mean() for task in group}

            def again(task, probe, inputs=inputs):
                losses = [losses_of(group, encoder(inputs)) for group in groups if task in group]
                return [(each, dict.fromkeys(each, 1.0)) for each in losses]

            for number in range(balance.batches_per_step):
                for group in groups:
                    features = encoder(inputs)
                    losses = losses_of(group, features)
                    executor.add(losses, features=[features])
                if executor.takes_validation:
                    for group in groups:
                        executor.add_validation(losses_of(group, encoder(inputs)))
                if executor.takes_perturbed:
                    executor.add_perturbed(again)
                executor.backward(executor.combine(last=number == balance.batches_per_step - 1).objective)
            train([*encoder.parameters(), *heads.parameters(), *balance.parameters()])
            if executor.needs_losses_after:
                executor.finish_step([(losses, dict.fromkeys(losses, 1.0))])
            found.append(list(device.waits))
    return found[1:]


@torch.no_grad()
def train(parameters):
    for parameter in parameters:
        parameter -= 0.1 * parameter.grad
        parameter.grad = None


@pytest.mark.parametrize("groups", [ONE_INPUT, SEVERAL_INPUTS], ids=["one-input", "several-inputs"])
@pytest.mark.parametrize("method", methods(GramianWeighting))
def test_gramian_method_waits_once(method, groups):
    assert waits_of_steps(methods(GramianWeighting)[method], groups) == [[COPY]] * (STEPS - 1)


@pytest.mark.parametrize("options", [{"refresh_every": 2}, {"head_gradients": "weighted"}], ids=str)
def test_options_of_gramian_methods_do_not_wait_more(options):
    assert waits_of_steps(UPGrad, ONE_INPUT, **options) == [[COPY]] * (STEPS - 1)


def test_feature_gradients_wait_once_and_once_more_to_see_whether_numbers_are_finite():
    assert waits_of_steps(UPGrad, ONE_INPUT, False, gradient_of="features") == [[COPY]] * (STEPS - 1)
    assert waits_of_steps(UPGrad, ONE_INPUT, True, gradient_of="features") == [[COPY] * 2] * (STEPS - 1)


def test_kept_weights_need_no_waiting():
    assert waits_of_steps(UPGrad, check_finite=False, refresh_every=2) == [[], [COPY], []]


@pytest.mark.parametrize("check_finite", [True, False])
@pytest.mark.parametrize("method", methods(LossWeighting))
def test_loss_weighting_waits_only_to_see_whether_numbers_are_finite(method, check_finite):
    expected = [[COPY] if check_finite else []] * (STEPS - 1)
    assert waits_of_steps(methods(LossWeighting)[method], check_finite=check_finite) == expected


@pytest.mark.parametrize(
    ("act", "waits"),
    [
        (lambda x: x.item(), True),
        (lambda x: bool(x.sum() > 0), True),
        (lambda x: x.cpu(), True),
        (lambda x: x[x > 0], True),
        (lambda x: x.nonzero(), True),
        (lambda x: torch.equal(x, x), True),
        (lambda x: torch.ones(3).to(x.device), True),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), True),
        (lambda x: x.copy_(torch.ones(1)), True),
        (lambda x: torch.ones(1).copy_(x), True),
        (lambda x: x.copy_(torch.ones(1), non_blocking=True), False),
        (lambda x: torch.ones(3).to(x.device, non_blocking=True), False),
        (lambda x: x[torch.zeros(2, dtype=torch.int64, device=x.device)] + torch.zeros(2, device=x.device), False),
        (lambda x: x.double() * torch.tensor(2.0), False),
        (lambda x: torch.cat([x, x], out=torch.empty(2, device=x.device)).add_(1).sum().backward, False),
    ],
)
def test_what_counts(act, waits):
    with Device() as device, Lists():
        x = torch.ones(1, device=DEVICE)
        act(x)
    assert len(device.waits) == waits


def test_operands_must_be_on_one_device():
    with Device(), Lists(), pytest.raises(AssertionError, match="operands on the host and on the device"):
        torch.ones(2, device=DEVICE) + torch.ones(2)
