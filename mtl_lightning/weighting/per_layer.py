"""A Gramian method asked for each layer by itself."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import GramianWeighting, JacobianWeighting
from mtl_lightning.weighting.inner_products import exact_gramian

Piece = tuple[int, int]
"""First column, and the one behind the last."""


class PerLayer(JacobianWeighting):
    """Finds weights of the tasks for each layer of the shared parameters, from the gradients of that layer alone.

    Each layer has a copy of the method, with a state of its own. What the method promises, such as that no loss
    increases, holds in each layer, and hence in all together, as inner products add up over layers. In a config,
    ``model.gradient_of: layers`` puts it around the ``weighting``.

    Reference: Wang et al., "Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively
    Multilingual Models" (ICLR 2021), algorithm 1, whose groups of parameters may be layers; here for every Gramian
    method. Difference: methods that draw random numbers draw the same in each layer.

    Needs: memory for K gradients; the host waits for the device once a step.

    Args:
        tasks: Names of the K tasks.
        weighting: The method; its options are its own.

    >>> from mtl_lightning.weighting import MGDA
    >>> weighting = PerLayer(["a", "b"], MGDA)
    >>> weighting.prepare_layers(2, [(0, 1), (1, 2)])
    >>> weighting(torch.tensor([[1.0, 0.0, 3.0], [1.0, 1.0, 0.0]]), torch.ones(2), torch.arange(2))
    tensor([1.0000, 0.9000, 0.3000])
    """

    def __init__(self, tasks: Sequence[str], weighting: Callable[[Sequence[str]], GramianWeighting]) -> None:
        super().__init__(tasks)
        method = weighting(self.tasks)
        if not isinstance(method, GramianWeighting):
            raise UserError(
                "`gradient_of: layers` is for methods that see the Gramian of the gradients; "
                f"{type(method).__name__} does not"
            )
        if method.batches_compared > 1:
            raise UserError(f"`gradient_of: layers`: {type(method).__name__} compares several batches; use `shared`")
        if method.perturbs_parameters:
            name = type(method).__name__
            raise UserError(f"`gradient_of: layers`: {name} moves all shared parameters at once; use `shared`")
        self.layers = nn.ModuleList([method])
        self.domain = method.domain
        self._fresh = (deepcopy(method),)  # a tuple, so that it is no submodule
        self._pieces: list[list[Piece]] = [[]]

    @property
    def needs_epochs(self) -> bool:
        return self._method.needs_epochs

    @property
    def needs_validation(self) -> bool:
        return self._method.needs_validation

    @property
    def _method(self) -> GramianWeighting:
        method = self.layers[0]
        assert isinstance(method, GramianWeighting)
        return method

    def prepare_layers(self, num_layers: int, parameters: Sequence[tuple[int, int]]) -> None:
        while len(self.layers) < num_layers:
            self.layers.append(deepcopy(self._fresh[0]))
        self._pieces = [[] for _ in range(num_layers)]
        column = 0
        for layer, size in parameters:
            self._pieces[layer].append((column, column := column + size))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        used = [(layer, pieces) for layer, pieces in zip(self.layers, self._pieces, strict=False) if pieces]
        products = torch.stack([self._products(jacobian, pieces) for _, pieces in used]).cpu()
        on_host, indices = losses.double().cpu(), tasks.cpu()
        found = [layer(gramian, on_host, indices) for (layer, _), gramian in zip(used, products, strict=True)]
        weights = torch.stack(found).to(jacobian.device, jacobian.dtype)
        direction = torch.empty_like(jacobian[0])
        for of_layer, (_, pieces) in zip(weights, used, strict=True):
            for first, end in pieces:
                torch.mv(jacobian[:, first:end].T, of_layer, out=direction[first:end])
        return direction

    def _products(self, jacobian: Tensor, pieces: Sequence[Piece]) -> Tensor:
        """The Gramian of a layer [T, T], float64."""
        return torch.stack([exact_gramian(jacobian[:, first:end]) for first, end in pieces]).sum(0)

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return self._method.undefined(losses, tasks)

    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        for layer in self.layers:
            layer.on_epoch_end(losses, tasks)  # type: ignore[operator]

    def on_validation_end(self, losses: Tensor, tasks: Tensor) -> None:
        for layer in self.layers:
            layer.on_validation_end(losses, tasks)  # type: ignore[operator]
