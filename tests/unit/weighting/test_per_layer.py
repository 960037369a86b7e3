"""PerLayer is the method asked for each layer by itself; `gradient_of: layers` puts it around any Gramian method."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.testing.common import checkpointed
from mtl_lightning.weighting import CRMOGM, DWA, MGDA, GradNorm, GradVac, GramianWeighting, UPGrad, gramian
from mtl_lightning.weighting.per_layer import PerLayer

NAMES = ["a", "b", "c"]
METHODS: dict[str, Callable[[Sequence[str]], GramianWeighting]] = {
    "mgda": MGDA,
    "log": partial(UPGrad, log=True),
    "stateful": GradNorm,
    "random": partial(GradVac, seed=0, beta=0.3),
    "averaged": partial(CRMOGM, weighting=MGDA),
}
all_methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
LAYOUT = [(0, 2), (1, 4), (0, 3), (3, 1)]
COLUMNS = {0: [0, 1, 6, 7, 8], 1: [2, 3, 4, 5], 3: [9]}
"""Layer 2 has none."""


def steps(*present: Sequence[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    random = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(len(tasks), 10, generator=random, dtype=torch.float64),
            0.5 + torch.rand(len(tasks), generator=random, dtype=torch.float64),
            torch.tensor(tasks),
        )
        for tasks in present
    ]


def prepared(method: Callable[[Sequence[str]], GramianWeighting]) -> PerLayer:
    weighting = PerLayer(NAMES, method)
    weighting.prepare(10)
    weighting.prepare_layers(4, LAYOUT)
    return weighting


@all_methods
@pytest.mark.parametrize("num_tasks", [2, 8])
def test_contract(method: Callable[[Sequence[str]], GramianWeighting], num_tasks: int) -> None:
    check_weighting(partial(PerLayer, weighting=method), num_tasks)


@all_methods
def test_each_layer_is_weighed_by_a_method_of_its_own(method: Callable[[Sequence[str]], GramianWeighting]) -> None:
    weighting, alone = prepared(method), {layer: method(NAMES) for layer in COLUMNS}
    for jacobian, losses, tasks in steps([0, 1, 2], [2], [0, 2], [0, 1, 2]):
        direction = weighting(jacobian, losses, tasks)
        for layer, columns in COLUMNS.items():
            rows = jacobian[:, columns]
            expected = alone[layer](gramian(rows), losses, tasks) @ rows
            torch.testing.assert_close(direction[columns], expected)


def test_one_layer_is_the_method() -> None:
    weighting = PerLayer(NAMES, UPGrad)
    weighting.prepare_layers(1, [(0, 10)])
    for jacobian, losses, tasks in steps([0, 1, 2]):
        expected = UPGrad(NAMES)(gramian(jacobian), losses, tasks) @ jacobian
        torch.testing.assert_close(weighting(jacobian, losses, tasks), expected)


def test_no_loss_increases_in_any_layer() -> None:
    for jacobian, losses, tasks in steps(*[[0, 1, 2]] * 20):
        direction = prepared(UPGrad)(jacobian, losses, tasks)
        for columns in COLUMNS.values():
            assert (jacobian[:, columns] @ direction[columns] >= -1e-9).all()


@all_methods
def test_each_layer_has_its_state_in_the_checkpoint(method: Callable[[Sequence[str]], GramianWeighting]) -> None:
    weighting, fresh = prepared(method), prepared(method)
    *before, last = steps([0, 1, 2], [0, 2], [0, 1, 2], [0, 1, 2])
    for step in before:
        weighting(*step)
    fresh.load_state_dict(checkpointed(weighting.state_dict()))
    assert torch.equal(fresh(*last), weighting(*last))


def test_other_methods_are_refused() -> None:
    with pytest.raises(UserError, match=r"`gradient_of: layers` is for methods that see the Gramian .*; DWA does not"):
        PerLayer(NAMES, DWA)  # type: ignore[arg-type]


# -- in the executor ---------------------------------------------------------------------------------------------------
class Model:
    """Two layers and two heads."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        self.heads = {name: nn.Linear(3, 1).double() for name in "ab"}
        self.own = {name: list(head.parameters()) for name, head in self.heads.items()}

    def losses(self, seed: int = 0) -> dict[str, Tensor]:
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        features = self.encoder(inputs)
        return {name: (head(features) - 2).square().mean() for name, head in self.heads.items()}

    def jacobian(self, layer: nn.Module, seed: int = 0) -> Tensor:
        losses, parameters = self.losses(seed), list(layer.parameters())
        rows = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses.values()]
        return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def gradient_of_layer(layer: nn.Module) -> Tensor:
    found = [parameter.grad for parameter in layer.parameters()]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


def step(executor: Executor, losses: dict[str, Tensor]) -> None:
    executor.add(losses)
    executor.backward(executor.combine().objective)


def test_the_executor_tells_the_layers() -> None:
    model = Model()
    groups = [list(model.encoder[0].parameters()), list(model.encoder[2].parameters())]
    executor = Executor(PerLayer(["a", "b"], MGDA), model.encoder.parameters(), model.own, gradient_of=groups)
    step(executor, model.losses())
    for layer in (model.encoder[0], model.encoder[2]):
        rows = model.jacobian(layer)
        expected = MGDA(["a", "b"])(rows @ rows.T, torch.ones(2).double(), torch.arange(2)) @ rows
        torch.testing.assert_close(gradient_of_layer(layer), expected)


def test_without_groups_each_parameter_is_a_layer() -> None:
    model = Model()
    executor = Executor(PerLayer(["a", "b"], MGDA), model.encoder.parameters(), model.own)
    step(executor, model.losses())
    rows = model.jacobian(model.encoder[2])[:, 15:]
    expected = MGDA(["a", "b"])(rows @ rows.T, torch.ones(2).double(), torch.arange(2)) @ rows
    torch.testing.assert_close(model.encoder[2].bias.grad, expected)


def test_a_frozen_layer_comes_back_with_its_state() -> None:
    """The copies stay with their layers, whatever trains."""
    model = Model()
    groups = [list(model.encoder[0].parameters()), list(model.encoder[2].parameters())]
    weighting = PerLayer(["a", "b"], GradNorm)
    executor = Executor(weighting, model.encoder.parameters(), model.own, gradient_of=groups)
    model.encoder[0].requires_grad_(False)
    step(executor, model.losses())
    states = [layer.get_extra_state()["weights"] for layer in weighting.layers]  # type: ignore[operator]
    assert states[0].tolist() == [1, 1]
    assert states[1].tolist() != [1, 1]
    model.encoder[0].requires_grad_(True)
    step(executor, model.losses())
    assert weighting.layers[0].get_extra_state()["weights"].tolist() != [1, 1]  # type: ignore[operator]


@pytest.mark.parametrize("weighting", [UPGrad(["a", "b"]), DWA(["a", "b"])], ids=["gramian", "loss"])
def test_groups_are_for_a_method_per_layer(weighting: Any) -> None:
    model = Model()
    with pytest.raises(UserError, match="groups of parameters are for `PerLayer`; put it around"):
        Executor(weighting, model.encoder.parameters(), model.own, gradient_of=[list(model.encoder.parameters())])
