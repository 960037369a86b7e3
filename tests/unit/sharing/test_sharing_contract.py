"""What every sharing keeps to, on every encoder, with its defaults: collected from the public exports."""

import math
import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from sharing_cases import CASES, ENCODERS, EXACT, MAKERS, TASKS, WORDS, B, inputs_of
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.encoders import Encoder
from mtl_lightning.sharing import Sharing
from mtl_lightning.training.joint_pass import split
from mtl_lightning.weighting import EqualWeighting, UPGrad, Weighting

Kept = tuple[Encoder, Sharing]
Make = Callable[..., Kept]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Names of a sharing and of an encoder."""
    name, kind = request.param
    return name, kind


@pytest.fixture
def kind(case: tuple[str, str]) -> str:
    return case[1]


@pytest.fixture
def make(case: tuple[str, str]) -> Make:
    name, kind = case

    def made(tasks: tuple[str, ...] = TASKS, seed: int = 0, exact: bool = False) -> Kept:
        options = EXACT.get(name, {}) if exact else {}
        torch.manual_seed(seed)
        encoder = ENCODERS[kind]()
        return encoder.double(), MAKERS[name](list(tasks), encoder, **options).double()

    return made


KEPT: dict[tuple[str, str], Kept] = {}


@pytest.fixture
def kept(case: tuple[str, str], make: Make) -> Kept:
    """The same for all tests that change nothing of it, ready to evaluate."""
    encoder, made = KEPT.get(case) or KEPT.setdefault(case, make())
    encoder.eval()
    return encoder, made.eval()


def part(inputs: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: tensor[rows] for name, tensor in inputs.items()}


def read(representation: Any) -> Tensor:
    """All that a head may read [B, 1 + L, D]: the pooled vector and those of words, if there are any."""
    vectors = [representation.pooled.unsqueeze(1)]
    if representation.tokens is not None:
        vectors.append(representation.tokens * representation.mask.unsqueeze(-1))
    return torch.cat(vectors, 1)


def loss(representation: Any, task: str) -> Tensor:
    torch.manual_seed(TASKS.index(task))
    found = read(representation)
    return (found @ torch.randn(found.shape[-1], dtype=found.dtype)).square().mean()


def held(encoder: Encoder, made: Sharing) -> list[nn.Parameter]:
    found = dict.fromkeys([*encoder.parameters(), *made.parameters()])
    return [parameter for parameter in found if parameter.requires_grad]


def readers_of(
    parameters: list[nn.Parameter], made: Sharing, inputs: dict[str, Tensor]
) -> dict[nn.Parameter, set[str]]:
    """The tasks whose loss reaches each of the parameters."""
    readers: dict[nn.Parameter, set[str]] = {parameter: set() for parameter in parameters}
    found = made(inputs, list(TASKS))
    for task in TASKS:
        value = loss(found[task], task)
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True), strict=True
        ):
            if gradient is not None:
                readers[parameter].add(task)
    return readers


def test_representations_have_its_width_and_are_of_the_tasks_asked_for(kept: Kept, kind: str) -> None:
    _, made = kept
    found = made(inputs_of(kind), ["c", "a"])
    assert list(found) == ["c", "a"]
    positions = 1 + (max(map(len, WORDS)) if "words" in kind else 0)
    assert all(read(each).shape == (B, positions, made.features) for each in found.values())


def test_a_task_gets_the_same_whoever_else_is_asked(kept: Kept, kind: str) -> None:
    _, made = kept
    inputs = inputs_of(kind)
    together = made(inputs, list(TASKS))
    for task in TASKS:
        torch.testing.assert_close(read(made(inputs, [task])[task]), read(together[task]))


def test_examples_do_not_mix(kept: Kept, kind: str) -> None:
    _, made = kept
    inputs = inputs_of(kind)
    whole = made(inputs, list(TASKS))
    half = made(part(inputs, slice(0, B // 2)), list(TASKS))
    for task in TASKS:
        torch.testing.assert_close(read(half[task]), read(whole[task])[: B // 2])


def test_what_is_encoded_together_can_be_parted(kept: Kept, kind: str) -> None:
    """Batches of several data sets go through the encoder in one."""
    _, made = kept
    inputs = inputs_of(kind)
    for piece, rows in zip(split(made.encode(inputs), [2, B - 2]), (slice(0, 2), slice(2, B)), strict=True):
        wanted = made(part(inputs, rows), list(TASKS))
        for task, found in made.share(piece, list(TASKS)).items():
            torch.testing.assert_close(read(found), read(wanted[task]))


def test_gradients_reach_what_is_shared_and_their_own_and_nothing_else(make: Make, kind: str) -> None:
    """And it knows who reads its parts."""
    encoder, made = make()
    inputs, parameters = inputs_of(kind), held(encoder, made)
    readers = readers_of(parameters, made, inputs)
    for task in TASKS:
        for parameter in made.own_parameters(task):
            assert readers[parameter] == {task}
    for parameter in made.shared_parameters():
        assert not parameter.requires_grad or readers[parameter], "a parameter that nobody trains"
    counted = [*made.shared_parameters(), *(p for task in TASKS for p in made.own_parameters(task))]
    assert len(counted) == len(set(counted))
    assert set(parameters) <= set(counted)
    parts = made.parts()
    counted = [parameter for part in parts for parameter in part.parameters]
    assert len(counted) == len(set(counted))
    assert set(counted) == {*encoder.parameters(), *made.parameters()}
    assert len({part.name for part in parts}) == len(parts)
    for part in parts:
        for parameter in set(part.parameters) & set(parameters):
            assert readers[parameter] == set(part.tasks), part.name


def test_it_notes_what_its_experts_are_used_for(make: Make, kind: str) -> None:
    encoder, made = make()
    encoder.train()
    made.train()
    made(inputs_of(kind), list(TASKS))
    observed = made.observe()
    for use in observed.use:
        for task in use.tasks:
            mean, entropy = use.mean(task), use.entropy(task)
            assert mean is not None and entropy is not None
            assert mean.shape == (len(use.experts_of(task)),)
            assert (mean >= 0).all()
            torch.testing.assert_close(mean.sum(), torch.ones(()))
            assert 0 <= entropy <= math.log(len(mean)) + 1e-6
    if observed.embeddings is not None:
        assert observed.embeddings.shape[0] == len(TASKS)
        assert not observed.embeddings.requires_grad


def test_gradients_are_those_of_finite_differences(make: Make, kind: str) -> None:
    encoder, made = make(exact=True)
    made.eval()
    encoder.eval()
    inputs, step = inputs_of(kind), 1e-6

    def total() -> Tensor:
        return torch.stack([loss(each, task) for task, each in made(inputs, list(TASKS)).items()]).sum()

    random = torch.Generator().manual_seed(7)
    parameters = held(encoder, made)
    with torch.no_grad():
        for parameter in parameters:  # what starts at zero may stand at the bend of a ReLU
            parameter += 0.05 * torch.randn(parameter.shape, generator=random, dtype=parameter.dtype)
    gradients = torch.autograd.grad(total(), parameters, allow_unused=True)
    for _ in range(2):
        directions = [torch.randn(each.shape, generator=random, dtype=each.dtype) for each in parameters]
        ends = []
        for length in (step, -2 * step):
            with torch.no_grad():
                torch._foreach_add_(parameters, directions, alpha=length)
                ends.append(total())
        with torch.no_grad():
            torch._foreach_add_(parameters, directions, alpha=step)
        pairs = zip(gradients, directions, strict=True)
        found = torch.stack([(gradient * way).sum() for gradient, way in pairs if gradient is not None]).sum()
        torch.testing.assert_close((ends[0] - ends[1]) / (2 * step), found, rtol=1e-5, atol=1e-6)


def test_one_task(make: Make, kind: str) -> None:
    _, made = make(("a",))
    found = made(inputs_of(kind), ["a"])
    loss(found["a"], "a").backward()  # type: ignore[no-untyped-call]
    assert read(found["a"]).isfinite().all()


def test_state_goes_into_a_fresh_one(make: Make, kept: Kept, kind: str) -> None:
    (encoder, made), (other_encoder, other) = kept, make(seed=5)
    other_encoder.load_state_dict(encoder.state_dict())
    other.load_state_dict(made.state_dict())
    inputs = inputs_of(kind)
    for each in (other_encoder, other):
        each.eval()
    wanted = made(inputs, list(TASKS))
    for task, found in other(inputs, list(TASKS)).items():
        assert torch.equal(read(found), read(wanted[task]))


def test_it_can_be_copied_and_pickled_with_its_encoder(kept: Kept, kind: str) -> None:
    both = nn.ModuleList(kept)
    inputs = inputs_of(kind)
    wanted = both[1](inputs, ["b"])["b"]
    for copy in (deepcopy(both), pickle.loads(pickle.dumps(both))):
        assert torch.equal(read(copy[1](inputs, ["b"])["b"]), read(wanted))
        with torch.no_grad():
            for parameter in copy.parameters():
                parameter.zero_()
    assert torch.equal(read(both[1](inputs, ["b"])["b"]), read(wanted)), "a copy has parameters of its own"


@pytest.mark.parametrize("family", [EqualWeighting, UPGrad])
def test_it_trains_with_a_task_missing(make: Make, kind: str, family: type[Weighting]) -> None:
    encoder, made = make()
    weighting = family(TASKS)
    executor = Executor(weighting, made.shared_parameters(), {task: made.own_parameters(task) for task in TASKS})
    for present in (TASKS, TASKS[:2]):
        found = made(inputs_of(kind), list(present))
        executor.add({task: loss(found[task], task) for task in present}, terms=made.terms())
        executor.backward(executor.combine().objective)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in held(encoder, made))


def test_terms_have_the_same_names_whatever_tasks_there_are(make: Make, kind: str) -> None:
    _, made = make()
    inputs = inputs_of(kind)
    names = []
    for tasks in (list(TASKS), ["b"], []):
        made(inputs, tasks)
        names.append(list(made.terms()))
        assert all(term.dim() == 0 for term in made.terms().values())
    assert names[0] == names[1] == names[2]
