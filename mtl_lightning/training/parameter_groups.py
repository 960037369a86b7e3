"""What the optimizer is given: which parameters share a learning rate and weight decay."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError

Layers = Sequence[tuple[str, float, Sequence[nn.Parameter]]]
"""Name, relative learning rate and parameters of each part of the model."""

Copies = Sequence[tuple[nn.Module, nn.Module]]
"""Copies of parts of an encoder, each with its original."""

Factors = Mapping[str, tuple[float, Sequence[nn.Parameter]]]
"""By name, parameters of a sharing and their learning rate, relative to that of the heads."""

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Grouping:
    r"""Makes groups of the parameters that train: ``encoder``, ``heads``, and ``weighting``, which must not decay.

    With ``layer_decay``, the encoder has a group for each layer, ``encoder/0`` at the input. The i-th of n layers from
    the output has the learning rate :math:`\eta \cdot decay^i`, the heads :math:`\eta`: Bao et al., "BEiT: BERT
    Pre-Training of Image Transformers" (ICLR 2022), appendix H; introduced by Clark et al., "ELECTRA" (ICLR 2020),
    appendix B. With ``no_decay``, biases and parameters of normalisation have groups of their own, ``…/no_decay``.

    Args:
        head_lr_factor: Learning rate of heads and weighting, relative to the optimizer's.
        layer_decay: Learning rate of a layer, relative to that of the layer above; null: the encoder is one group.
        no_decay: Whether biases, and all else that has fewer than two dimensions or normalises, do not decay.

    Raises:
        UserError: If an option is out of its range.
    """

    head_lr_factor: float = 1.0
    layer_decay: float | None = None
    no_decay: bool = False

    def __post_init__(self) -> None:
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise UserError(f"model.layer_decay must be above 0 and at most 1, found {self.layer_decay}")

    def groups(
        self,
        encoder: Encoder,
        heads: Sequence[nn.Module],
        weighting: nn.Module,
        copies: Copies = (),
        factors: Factors = MappingProxyType({}),
    ) -> list[dict[str, Any]]:
        """The groups, each with its name, parameters and ``lr_factor``.

        Args:
            encoder: The encoder; a parameter that stands elsewhere too is its.
            heads: What stands behind it.
            weighting: The weighting.
            copies: Copies of parts of it, each with its original, in whose groups they are.
            factors: Of parameters in ``heads`` that have another learning rate than the rest; ``sharing/…`` are groups
                of theirs.

        Raises:
            UserError: If the encoder does not say how its layers follow each other, and ``layer_decay`` is given.
        """
        flat = {id(p) for module in (encoder, *heads) for p in _without_decay(module)} if self.no_decay else set()
        behind = [parameter for module in heads for parameter in module.parameters()]
        parts: Layers = [
            *self._layers(encoder, copied(copies)),
            *((f"sharing/{name}", self.head_lr_factor * factor, of) for name, (factor, of) in factors.items()),
            ("heads", self.head_lr_factor, behind),
            ("weighting", self.head_lr_factor, list(weighting.parameters())),
        ]
        groups: list[dict[str, Any]] = []
        seen: set[nn.Parameter] = set()
        for name, factor, parameters in parts:
            trained = list(dict.fromkeys(p for p in parameters if p.requires_grad and p not in seen))
            seen.update(trained)
            some, others = [p for p in trained if id(p) not in flat], [p for p in trained if id(p) in flat]
            decay = {"weight_decay": 0.0} if name == "weighting" else {}
            groups.append({"name": name, "params": some, "lr_factor": factor, **decay})
            groups.append({"name": f"{name}/no_decay", "params": others, "lr_factor": factor, "weight_decay": 0.0})
        return [group for group in groups if group["params"]]

    def _layers(self, encoder: Encoder, copies: Mapping[nn.Parameter, Sequence[nn.Parameter]]) -> Layers:
        def with_copies(layer: Iterable[nn.Parameter]) -> list[nn.Parameter]:
            return [each for parameter in layer for each in (parameter, *copies.get(parameter, ()))]

        if self.layer_decay is None:
            return [("encoder", 1.0, with_copies(encoder.parameters()))]
        layers = [with_copies(layer) for layer in encoder.layers_by_depth()]
        named = {id(parameter) for layer in layers for parameter in layer}
        layers[-1] += [parameter for parameter in with_copies(encoder.parameters()) if id(parameter) not in named]
        return [(f"encoder/{i}", self.layer_decay ** (len(layers) - i), layer) for i, layer in enumerate(layers)]


def copied(copies: Copies) -> dict[nn.Parameter, list[nn.Parameter]]:
    """The copies of each parameter of which there are any."""
    found: dict[nn.Parameter, list[nn.Parameter]] = {}
    for copy, original in copies:
        for parameter, source in zip(copy.parameters(), original.parameters(), strict=True):
            if parameter is not source:
                found.setdefault(source, []).append(parameter)
    return found


def _without_decay(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.dim() < 2 or isinstance(module, _NORMS):
                yield parameter
