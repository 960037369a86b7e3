"""What changes between the steps of a plain loop: what trains, which parameters there are, the epoch."""

from collections.abc import Sequence

import pytest
import torch
from test_executor_options import (
    KINDS,
    Losses,
    Model,
    Ones,
    assert_same,
    executor_of,
    made,
    right,
    right_weights,
    step,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mtl_lightning.backward import Executor, conflicts, inspection, processes
from mtl_lightning.backward.processes import Agreement
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import EqualWeighting, JacobianWeighting, Weighting


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind != "gramian-kept"]
)  # whose weights are those of the first step
def test_layers_that_are_frozen_and_unfrozen(kind: str) -> None:
    model, twin = Model(), Model()
    executor = made(model, kind)[1]
    for number, frozen in enumerate([False, True, False]):
        for some in (model, twin):
            some.encoder[0].requires_grad_(not frozen)
            some.heads["b"].bias.requires_grad_(not frozen)
            some.zero_grad()
        step(executor, model.batch(number))
        weights = right_weights(twin, kind, twin.batch(number))
        wanted = right(twin, twin.batch(number)[0], weights, kind)
        assert_same(model.gradients(), wanted, rtol=1e-6 if kind.startswith("loss") else 1e-9)


@pytest.mark.parametrize("kind", ["loss", "gramian", "jacobian", "gramian-of-features"])
def test_a_model_that_changes_its_type(kind: str) -> None:
    model, twin = Model(dtype=torch.float32), Model(dtype=torch.float32)
    executor = made(model, kind)[1]
    step(executor, model.batch(0))
    for some in (model, twin):
        some.double().zero_grad()
    step(executor, model.batch(1))
    weights = right_weights(twin, kind, twin.batch(1))
    wanted = right(twin, twin.batch(1)[0], weights, kind)
    assert_same(model.gradients(), wanted, rtol=1e-6 if kind == "loss" else 1e-9)


class Remembering(JacobianWeighting):
    """Keeps the newest gradients of each task and parameter."""

    newest: Tensor

    def prepare(self, num_parameters: int) -> None:
        self.register_buffer("newest", torch.zeros(len(self.tasks), num_parameters))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.newest[tasks] = jacobian
        return jacobian.sum(0)


def test_what_a_method_keeps_of_a_parameter_stays_with_it() -> None:
    model, weighting = Model(), Remembering("abc")
    executor = executor_of(model, weighting)
    step(executor, model.batch(0))
    first, second = model.encoder[0], model.encoder[2]
    sizes = [p.numel() for p in (first.weight, first.bias, second.weight, second.bias)]
    before = torch.split(weighting.newest.clone(), sizes, 1)
    extra = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    heads = {task: head.parameters() for task, head in model.heads.items()}
    executor.use([second.weight, extra, first.weight, first.bias], heads)
    with pytest.raises(UserError, match="neither in `shared` nor in `own`"):  # now that a bias is not named
        step(executor, model.batch(1))
    after = torch.split(weighting.newest, [sizes[2], 5, sizes[0], sizes[1]], 1)
    for found, wanted in zip(after, (before[2], torch.zeros_like(after[1]), before[0], before[1]), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_what_a_method_keeps_of_a_parameter_outlasts_its_being_frozen() -> None:
    model, weighting = Model(), Remembering("abc")
    executor = executor_of(model, weighting)
    step(executor, model.batch(0))
    shape = weighting.newest.shape
    model.encoder[0].requires_grad_(False)
    step(executor, model.batch(1))
    assert weighting.newest.shape == shape


def test_the_buffers_that_a_method_makes_late_are_of_the_models_type() -> None:
    weighting = Remembering("abc")
    executor_of(Model(), weighting)
    assert weighting.newest.dtype == torch.float64


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("weighting", [EqualWeighting, Ones])
def test_a_batch_counts_by_its_share(weighting: type[Weighting], share: float) -> None:
    model, twin = Model(), Model()
    executor = executor_of(model, weighting("abc"))
    executor.add(model.batch(0)[0], dict.fromkeys("abc", share))
    executor.backward(executor.combine().objective)
    losses = {task: loss * share for task, loss in twin.batch(0)[0].items()}
    assert_same(model.gradients(), right(twin, losses, dict.fromkeys("abc", 1.0)))


# -- the epoch ---------------------------------------------------------------------------------------------------------
def test_the_means_of_an_epoch_are_of_that_epoch_alone() -> None:
    told: list[tuple[list[float], list[int]]] = []

    class Listener(EqualWeighting):
        def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
            told.append((losses.tolist(), tasks.tolist()))

    model = Model()
    executor = executor_of(model, Listener("abc"))
    plan: Sequence[Sequence[str]] = [["ac", "c"], ["bc", "b"], [], ["a"]]
    wanted = []
    for epoch, batches in enumerate(plan):
        executor.start_epoch(epoch)
        losses: list[Losses] = []
        for number, tasks in enumerate(batches):
            losses.append({t: loss.detach() for t, loss in model.batch(10 * epoch + number, tasks)[0].items()})
            step(executor, model.batch(10 * epoch + number, tasks))
        present = [task for task in "abc" if any(task in tasks for tasks in batches)]
        means = [torch.stack([part[t] for part in losses if t in part]).mean().item() for t in present]
        wanted += [(pytest.approx(means), ["abc".index(task) for task in present])] if present else []
        executor.start_epoch(epoch)  # again: the same epoch goes on
    executor.start_epoch(len(plan))
    assert told == wanted


# -- what is seen of a graph -------------------------------------------------------------------------------------------
def test_a_loss_weighting_goes_through_a_reentrant_checkpoint() -> None:
    model, twin = Model(), Model()
    inputs = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    hidden = checkpoint(model.encoder, inputs, use_reentrant=True)
    executor = executor_of(model, EqualWeighting("abc"))
    step(executor, ({task: head(hidden).square().mean() for task, head in model.heads.items()}, []))
    total = sum(head(twin.encoder(inputs)).square().mean() for head in twin.heads.values())
    total.backward()  # type: ignore[union-attr]
    assert_same(model.gradients(), twin.gradients())


def test_graphs_are_walked_through_once_in_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, walked = Model(), []
    executor = executor_of(model, Ones("abc"))
    monkeypatch.setattr(inspection, "check_losses", lambda *arguments: walked.append(list(arguments[1])))
    for epoch in range(2):
        executor.start_epoch(epoch)
        for number, tasks in enumerate(["ab", "a", "bc", "abc"]):
            step(executor, model.batch(number, tasks))
    assert walked == [["a", "b"], ["b", "c"]] * 2


def test_two_of_three_tasks_that_reach_nothing_shared_are_refused() -> None:
    model = Model()
    losses, (hidden,) = model.batch(0)
    losses = {task: model.heads[task](hidden.detach()).square().mean() for task in "ab"}
    with pytest.raises(UserError, match="losses of 'a', 'b' depend on no shared parameter"):
        executor_of(model, Ones("abc")).add(losses)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_several_processes_says_what_all_have_found(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.is_first()
    monkeypatch.setattr(processes, "num_processes", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
    assert processes.is_first() == (rank == 0)


def test_conflicts_of_three_tasks_and_one_without_a_gradient() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-3.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    found = conflicts(rows @ rows.T, "abcd")
    assert [found[f"norm/{task}"] for task in "abcd"] == [1, 0, 3, 2]
    assert found["cosine_mean"] == pytest.approx(-1 / 3) and found["cosine_min"] == -1
    assert found["conflicting"] == pytest.approx(1 / 3)
    assert found["similarity"] == pytest.approx((2 * 3 / 10 + 2 * 2 / 5 + 2 * 6 / 13) / 3)


def test_a_process_alone_agrees_with_itself() -> None:
    agreement = Agreement()
    assert [agreement.exchange(wish) for wish in (0, 3, 1)] == [0, 3, 1]


def test_a_task_that_shares_nothing_is_no_mistake_where_others_do() -> None:
    model = Model()
    tower = nn.Linear(3, 1, dtype=torch.float64)
    own = {task: head.parameters() for task, head in model.heads.items()} | {"c": tower.parameters()}
    executor = Executor(Ones("abc"), model.encoder.parameters(), own)
    step(executor, ({"c": tower(torch.ones(2, 3, dtype=torch.float64)).square().mean()}, []))
    step(executor, (model.batch(0, "ab")[0], []))
    assert tower.weight.grad is not None and model.encoder[0].weight.grad is not None
