"""The executor's options, and windows in a plain loop, against gradients written down one by one."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.testing.common import checkpointed
from mtl_lightning.weighting import EqualWeighting, GramianWeighting, JacobianWeighting, LossWeighting, Weighting

Losses = dict[str, Tensor]
Batch = tuple[Losses, list[Tensor]]
"""Losses of a batch, and its features."""


class Model(nn.Module):
    """An encoder of two layers and a head for each task; a task's name is a letter."""

    def __init__(self, tasks: str = "abc", dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(4, 4) for task in tasks})
        self.between: list[Callable[[Tensor], Tensor]] = []
        self.to(dtype)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=random).to(dtype)

    def batch(self, seed: int, tasks: Iterable[str] = "") -> Batch:
        """The same for the same seed."""
        inputs = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        hidden = self.encoder(inputs.to(self.heads["a"].bias.dtype))
        for change in self.between:
            hidden = change(hidden)
        return {t: (self.heads[t](hidden) - 1 / ord(t)).square().mean() for t in tasks or self.heads}, [hidden]

    @property
    def shared(self) -> list[nn.Parameter]:
        held = Counter(parameter for head in self.heads.values() for parameter in head.parameters())
        several = [parameter for parameter, number in held.items() if number > 1]
        return [p for p in dict.fromkeys([*self.encoder.parameters(), *several]) if p.requires_grad]

    def gradients(self) -> dict[str, Tensor | None]:
        return {name: parameter.grad for name, parameter in self.named_parameters()}


# -- a weighting of each family ----------------------------------------------------------------------------------------
class Gramian(GramianWeighting):
    """A task weighs one over its gradient's squared length, the second task nothing."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.add_state("num_calls", 0)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.num_calls += 1
        return (1 / gramian.diagonal()).masked_fill(tasks == 1, 0)


class Jacobian(JacobianWeighting):
    """The same."""

    num_calls: Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.register_buffer("num_calls", torch.zeros(()))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.num_calls += 1
        return (1 / jacobian.square().sum(1)).masked_fill(tasks == 1, 0) @ jacobian


class Logs(LossWeighting):
    """The sum of logarithms times trained factors."""

    num_calls: Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.register_buffer("num_calls", torch.zeros(()))
        self.scale = nn.Parameter(torch.ones(len(tasks), dtype=torch.float64))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        self.num_calls += 1
        return (self.scale[tasks] * losses.log()).sum()


class Ones(GramianWeighting):
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return torch.ones(len(tasks), dtype=torch.float64)


class RowSum(JacobianWeighting):
    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return jacobian.sum(0)


KINDS: dict[str, tuple[type[Weighting], dict[str, Any]]] = {
    "loss": (Logs, {}),
    "loss-looked-at": (Logs, {"refresh_every": 1}),
    "gramian": (Gramian, {}),
    "gramian-weighted-heads": (Gramian, {"head_gradients": "weighted"}),
    "gramian-kept": (Gramian, {"refresh_every": 100}),
    "gramian-of-features": (Gramian, {"gradient_of": "features"}),
    "gramian-of-last-layer": (Gramian, {"gradient_of": "last"}),
    "jacobian": (Jacobian, {}),
}
of_gradients = pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("loss")])
every_kind = pytest.mark.parametrize("kind", KINDS)


def executor_of(model: Model, weighting: Weighting, gradient_of: str = "shared", **options: Any) -> Executor:
    part: Any = list(model.encoder[2].parameters()) if gradient_of == "last" else gradient_of
    own = {task: head.parameters() for task, head in model.heads.items()}
    return Executor(weighting, model.encoder.parameters(), own, gradient_of=part, **options)


def made(model: Model, kind: str) -> tuple[Weighting, Executor]:
    weighting = KINDS[kind][0](list(model.heads))
    return weighting, executor_of(model, weighting, **KINDS[kind][1])


def step(executor: Executor, *window: Batch, factor: float = 1.0) -> Any:
    """An optimizer step; each batch is one step of its window."""
    for number, (losses, features) in enumerate(window, 1):
        executor.add(losses, None, features)
        found = executor.combine(last=number == len(window))
        scaler = executor.scaler
        executor.backward(found.objective * factor if scaler is None else scaler.scale(found.objective * factor))
    return found


# -- what is right -----------------------------------------------------------------------------------------------------
def gradient(term: Tensor, sources: Sequence[Tensor]) -> Sequence[Tensor | None]:
    return torch.autograd.grad(term, sources, retain_graph=True, allow_unused=True) if sources else []


def rows(losses: Losses, sources: Sequence[Tensor]) -> Tensor:
    found = [zip(gradient(loss, sources), sources, strict=True) for loss in losses.values()]
    return torch.stack([torch.cat([(s * 0 if g is None else g).flatten() for g, s in row]) for row in found])


def right_weights(model: Model, kind: str, batch: Batch) -> dict[str, float]:
    losses, features = batch
    if kind.startswith("loss"):
        return {task: 1 / loss.item() for task, loss in losses.items()}
    of = KINDS[kind][1].get("gradient_of")
    sources = features if of == "features" else list(model.encoder[2].parameters()) if of else model.shared
    lengths = rows(losses, sources).square().sum(1).tolist()
    return {t: 0 if t in list(model.heads)[1:2] else 1 / n for t, n in zip(losses, lengths, strict=True)}


def right(model: Model, losses: Losses, weights: Mapping[str, float], kind: str = "gramian") -> dict[str, Any]:
    """Shared gradients weighted, heads' where they are to be; none where autograd has none."""
    weighted_heads = kind.startswith("loss") or "weighted" in kind
    names, shared = {parameter: name for name, parameter in model.named_parameters()}, model.shared
    terms: list[tuple[Any, list[nn.Parameter]]] = [(sum(losses[t] * weights[t] for t in losses), shared)]
    for task, loss in losses.items():
        own = [
            p for p in model.heads[task].parameters() if p.requires_grad and names[p] not in {names[s] for s in shared}
        ]
        terms.append((loss * weights[task] if weighted_heads else loss, own))
    found = {names[p]: g for term, part in terms for p, g in zip(part, gradient(term, part), strict=True)}
    return {name: found.get(name) for name in names.values()}


def assert_same(found: Mapping[str, Any], wanted: Mapping[str, Any], rtol: float = 1e-9, atol: float = 1e-12) -> None:
    assert found.keys() == wanted.keys()
    assert {n for n, value in found.items() if value is None} == {n for n, value in wanted.items() if value is None}
    for name, value in wanted.items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(found[name], value, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
        else:
            assert found[name] == value, name


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}


# -- weights kept between steps ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["gramian", "gramian-of-features", "gramian-of-last-layer"])
def test_weights_are_computed_every_n_optimizer_steps(kind: str) -> None:
    model, kept = Model(), dict.fromkeys("abc", 1.0)
    weighting = Gramian("abc")
    executor = executor_of(model, weighting, refresh_every=3, **KINDS[kind][1])
    for number, tasks in enumerate(["ab", "abc", "c", "bc", "abc", "a", "abc", "abc"]):
        model.zero_grad()
        found, twin = step(executor, model.batch(number, tasks)), model.batch(number, tasks)
        if number % 3 == 0:
            kept |= right_weights(model, kind, twin)
        assert weighting.num_calls == number // 3 + 1
        assert (found.gramian is not None) == (number % 3 == 0)
        assert {t: float(w) for t, w in found.weights.items()} == pytest.approx({t: kept[t] for t in tasks})
        assert_same(model.gradients(), right(model, twin[0], kept))


def test_age_of_kept_weights_is_in_optimizer_steps_not_batches() -> None:
    model, weighting, calls = Model(), Gramian("abc"), []
    executor = executor_of(model, weighting, refresh_every=3)
    for number in range(7):
        step(executor, *(model.batch(10 * number + i) for i in range(3)))
        calls.append(weighting.num_calls)
    assert calls == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize("saved_after", [1, 2, 3])
def test_kept_weights_go_on_from_a_checkpoint(saved_after: int) -> None:
    model = Model()
    weightings = Gramian("abc"), Gramian("abc")
    one, other = (executor_of(model, weighting, refresh_every=3) for weighting in weightings)
    for number in range(saved_after):
        step(one, model.batch(number))
    weightings[1].load_state_dict(checkpointed(weightings[0].state_dict()))
    other.load_state_dict(checkpointed(one.state_dict()))
    for number in range(saved_after, 8):
        assert_same(step(other, model.batch(number)).weights, step(one, model.batch(number)).weights, 0, 0)
        assert weightings[1].num_calls == weightings[0].num_calls
        assert other.state_dict() == one.state_dict()


@pytest.mark.parametrize("size", [1, 3], ids=["one-batch", "window"])
@pytest.mark.parametrize("refresh_every", [1, 2])
def test_looking_at_conflicts_changes_nothing_for_a_loss_weighting(refresh_every: int, size: int) -> None:
    plain, looked_at = Model(), Model()
    one, other = Logs("abc"), Logs("abc")
    executors = executor_of(plain, one), executor_of(looked_at, other, refresh_every=refresh_every)
    for number in range(4):
        for model, executor in zip((plain, looked_at), executors, strict=True):
            step(executor, *(model.batch(10 * number + i, "abc"[i % 2 :]) for i in range(size)), factor=0.5)
        assert_same(looked_at.gradients(), plain.gradients())
    assert_same(dict(enumerate([other.scale.grad])), dict(enumerate([one.scale.grad])))


def test_means_of_an_epoch_go_on_from_a_checkpoint() -> None:
    told: list[Any] = []

    class Listener(EqualWeighting):
        def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
            told.append((losses, tasks.tolist()))

    model, all_losses = Model(), []
    executor = executor_of(model, Listener("abc"))
    executor.means.start(0, executor.setup.weighting)
    for number, tasks in enumerate(["ac", "c", "ac"]):
        losses, features = model.batch(number, tasks)
        all_losses.append({task: loss.detach() for task, loss in losses.items()})
        step(executor, (losses, features))
        fresh = executor_of(model, Listener("abc"))
        fresh.load_state_dict(checkpointed(executor.state_dict()))
        executor = fresh
    executor.means.start(1, executor.setup.weighting)
    means = [torch.stack([losses[task] for losses in all_losses if task in losses]).mean() for task in "ac"]
    ((found, tasks),) = told
    torch.testing.assert_close(found, torch.stack(means))
    assert tasks == [0, 2]


# -- what the gradients are of -----------------------------------------------------------------------------------------
def test_gramian_of_pooled_and_token_features() -> None:
    model = Model()

    def batch() -> Batch:
        inputs = torch.randn(6, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        tokens = model.encoder(inputs)
        a, b, c, pooled = *model.heads.values(), tokens.mean(1)
        losses = {
            "a": a(pooled).square().mean(),
            "b": b(tokens).square().mean(),
            "c": c(tokens).mean() * c(pooled).sum(),
        }
        return losses, [pooled, tokens]

    found, (losses, features) = step(executor_of(model, Gramian("abc"), "features"), batch()), batch()
    jacobian = rows(losses, features)
    torch.testing.assert_close(found.gramian, jacobian @ jacobian.T)
    assert_same(model.gradients(), right(model, losses, {t: float(w) for t, w in found.weights.items()}))


@pytest.mark.parametrize("tasks", [("ab", "c"), ("ab", "bc")], ids="-".join)
@pytest.mark.parametrize("window", [False, True], ids=["step", "window"])
def test_features_of_batches_with_different_tasks_are_refused(tasks: tuple[str, str], window: bool) -> None:
    model = Model()
    executor = executor_of(model, Gramian("abc"), "features")
    for number, (losses, features) in enumerate(model.batch(i, names) for i, names in enumerate(tasks)):
        halves = dict.fromkeys(losses, 0.5)
        if number == 1:
            with pytest.raises(UserError, match="gradient_of: features"):
                executor.add(losses, halves, features)
        else:
            executor.add(losses, halves, features)
            if window:
                executor.backward(executor.combine(last=False).objective)


@pytest.mark.parametrize("plan", [("abc", "ab"), ("a", "abc"), ("c", "abc", "b")], ids="-".join)
def test_features_of_batches_in_which_labels_are_missing(plan: tuple[str, ...]) -> None:
    model = Model()
    found = step(executor_of(model, Gramian("abc"), "features"), *(model.batch(i, t) for i, t in enumerate(plan)))
    parts = [model.batch(i, tasks) for i, tasks in enumerate(plan)]
    totals = {task: sum(losses[task] for losses, _ in parts if task in losses) for task in "abc"}
    means = {task: total / "".join(plan).count(task) for task, total in totals.items()}
    jacobian = rows(means, [tensor for _, features in parts for tensor in features])
    torch.testing.assert_close(found.gramian, jacobian @ jacobian.T)
    assert_same(model.gradients(), right(model, totals, {t: float(w) for t, w in found.weights.items()}))


# -- windows -----------------------------------------------------------------------------------------------------------
@of_gradients
def test_a_window_is_one_step_on_the_mean_batch(kind: str) -> None:
    model = Model()
    found = step(made(model, kind)[1], model.batch(0), model.batch(1), factor=0.5)
    (first, features), (second, more) = model.batch(0), model.batch(1)
    losses = {task: (first[task] + second[task]) / 2 for task in "abc"}
    weights = right_weights(model, kind, (losses, [*features, *more]))
    assert_same(found.losses, {task: loss.detach() for task, loss in losses.items()})
    assert {t: float(w) for t, w in found.weights.items()} == ({} if kind == "jacobian" else pytest.approx(weights))
    assert_same(model.gradients(), right(model, losses, weights, kind))


@pytest.mark.parametrize("kind", ["gramian", "gramian-of-last-layer", "jacobian"])
def test_a_window_in_which_tasks_are_missing(kind: str) -> None:
    model, plan = Model(), ["ab", "bc", "b", "ab"]
    step(made(model, kind)[1], *(model.batch(i, tasks) for i, tasks in enumerate(plan)), ({}, []), factor=0.25)
    parts = [model.batch(i, tasks)[0] for i, tasks in enumerate(plan)]
    appearances = Counter("".join(plan))
    totals = {task: sum((part[task] for part in parts if task in part), torch.zeros(())) for task in "abc"}
    weights = right_weights(model, kind, ({t: total / appearances[t] for t, total in totals.items()}, []))
    if kind == "jacobian":
        weights = {t: weight * len("".join(plan)) / 3 / appearances[t] for t, weight in weights.items()}
    wanted = right(model, totals, weights)
    assert_same(model.gradients(), {name: None if g is None else g / 4 for name, g in wanted.items()})


def test_ones_are_equal_weighting_where_tasks_are_missing_from_batches() -> None:
    one, other = Model(), Model()
    executors = executor_of(one, Ones("abc")), executor_of(other, EqualWeighting("abc"))
    for model, executor in zip((one, other), executors, strict=True):
        step(executor, *(model.batch(i, tasks) for i, tasks in enumerate(["c", "ab", "bc"])), ({}, []), factor=0.25)
    assert_same(one.gradients(), other.gradients())
