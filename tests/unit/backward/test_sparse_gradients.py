"""Embeddings with sparse gradients: the same numbers as with dense ones, in the form that their optimizers take."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from test_executor_options import KINDS, assert_same
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.weighting import MoCo, UPGrad

TASKS = "abc"


class Model(nn.Module):
    """A shared embedding, and a head with one of its own."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(9, 4, sparse=sparse, padding_idx=0)
        self.encoder = nn.Linear(4, 4)
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1) for task in TASKS})
        self.tags = nn.Embedding(5, 4, sparse=sparse)
        self.double()

    def losses(self, words: Sequence[int]) -> tuple[dict[str, Tensor], list[Tensor]]:
        hidden = self.encoder(self.words(torch.tensor(words)).tanh())
        read = {task: hidden[i:] for i, task in enumerate(TASKS)}
        read["c"] = read["c"] + self.tags(torch.tensor([word % 5 for word in words[2:]]))
        return {task: (head(read[task]) - 1).square().mean() for task, head in self.heads.items()}, [hidden]

    def executor(self, weighting: Any, **options: Any) -> Executor:
        own = {task: list(head.parameters()) for task, head in self.heads.items()}
        own["c"] += self.tags.parameters()
        if options.get("gradient_of") == "last":
            options["gradient_of"] = list(self.encoder.parameters())
        return Executor(weighting, [*self.words.parameters(), *self.encoder.parameters()], own, **options)


def step(executor: Executor, batch: tuple[dict[str, Tensor], list[Tensor]]) -> Any:
    executor.add(batch[0], None, batch[1])
    found = executor.combine()
    executor.backward(found.objective)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_gradients_are_those_of_dense_embeddings(kind: str) -> None:
    models = Model(True), Model(False)
    weighting, options = KINDS[kind]
    executors = [model.executor(weighting(TASKS), **options) for model in models]
    for words in ([1, 2, 2, 5], [3, 0, 2, 8]):
        sparse, dense = (step(its, model.losses(words)) for its, model in zip(executors, models, strict=True))
        assert_same(sparse.weights, dense.weights)
        if dense.gramian is not None:
            torch.testing.assert_close(sparse.gramian, dense.gramian, rtol=0, atol=0)
        found = {name: parameter.grad for name, parameter in models[0].named_parameters()}
        assert {name for name, grad in found.items() if grad.is_sparse} == {"words.weight", "tags.weight"}
        wanted = {name: parameter.grad for name, parameter in models[1].named_parameters()}
        assert_same({name: grad.to_dense() for name, grad in found.items()}, wanted)
    assert found["words.weight"].coalesce().indices().tolist() == [[1, 2, 3, 5, 8]]


@pytest.mark.parametrize("weighting", [UPGrad, MoCo])
def test_a_sparse_optimizer_trains(weighting: Any) -> None:
    model, twin = Model(True), Model(False)
    executors = [some.executor(weighting(TASKS)) for some in (model, twin)]
    embeddings = [model.words.weight, model.tags.weight]
    others = [parameter for parameter in model.parameters() if all(parameter is not e for e in embeddings)]
    optimizers = [torch.optim.SparseAdam(embeddings, 0.1), torch.optim.Adam(others, 0.1)]
    dense = torch.optim.Adam(twin.parameters(), 0.1)
    for _ in range(3):
        for executor, some in zip(executors, (model, twin), strict=True):
            step(executor, some.losses([1, 2, 2, 5]))
        for optimizer in (*optimizers, dense):
            optimizer.step()
            optimizer.zero_grad()
    assert_same(model.state_dict(), twin.state_dict(), 1e-2)  # SparseAdam's epsilon stands elsewhere


@pytest.mark.parametrize("kind", ["loss", "gramian", "jacobian", "gramian-of-features"])
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_a_step_that_is_not_finite_is_taken_back(kind: str, scaled: bool) -> None:
    model = Model(True)
    executor = model.executor(KINDS[kind][0](TASKS), **KINDS[kind][1])
    if scaled:
        executor.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    losses, features = model.losses([1, 2, 3, 4])
    executor.add({task: loss * (torch.nan if task == "c" else 1) for task, loss in losses.items()}, None, features)
    objective = executor.combine().objective
    executor.backward(executor.scaler.scale(objective) if scaled else objective)
    assert executor.not_finite == ("loss of 'c'",)
    if not scaled:
        assert all(parameter.grad is None for parameter in model.parameters())
    else:
        assert model.words.weight.grad is not None and model.words.weight.grad._values().isnan().all()


def test_an_embedding_that_is_tied_to_an_output_layer_has_dense_gradients() -> None:
    model = Model(True)
    twin = copy.deepcopy(model)
    for some in (model, twin):
        losses, _ = some.losses([1, 2, 2, 5])
        losses["b"] = losses["b"] + (some.encoder.weight @ some.words.weight.T).square().mean()
        if some is model:
            step(model.executor(KINDS["gramian-kept"][0](TASKS)), (losses, []))
        else:
            sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert model.words.weight.grad is not None and twin.words.weight.grad is not None
    assert model.words.weight.grad.is_sparse == twin.words.weight.grad.is_sparse
