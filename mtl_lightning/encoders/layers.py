"""The layers of a model of the transformers library: their order, which of them are frozen, and what they reach."""

import sys
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, Literal

from torch import nn

from mtl_lightning.errors import UserError

_LONGEST = 1_000_000  # tokenizers that know no limit say a very large number


def layers_by_depth(backbone: Any) -> list[list[nn.Parameter]]:
    """Parameters of the embeddings and of all that comes before the first layer, then those of each layer.

    Raises:
        UserError: If there are no layers.
    """
    layers = [list(layer.parameters()) for stack in _stacks(backbone) for layer in stack]
    if not layers:
        raise UserError(f"model.layer_decay: {type(backbone).__name__} has no stack of layers")
    inside = {id(parameter) for layer in layers for parameter in layer}
    before = list(takewhile(lambda parameter: id(parameter) not in inside, backbone.parameters()))
    tables = [p for m in backbone.modules() if isinstance(m, nn.Embedding) for p in m.parameters()]
    return [list(dict.fromkeys([*before, *(p for p in tables if id(p) not in inside)])), *layers]


def freeze(backbone: Any, embeddings: bool, layers: int) -> None:
    """Freezes parts of a model.

    Args:
        backbone: The model.
        embeddings: Whether its embeddings are.
        layers: How many layers are, from the bottom; -1: all.

    Raises:
        UserError: If it has fewer layers.
    """
    modules: list[nn.Module] = []
    if embeddings:
        modules.append(backbone.get_input_embeddings())
        modules.append(getattr(backbone, "embeddings", nn.Identity()))
    if layers:
        stack = next(_stacks(backbone), None)
        if stack is None or not -1 <= layers <= len(stack):
            found = "none" if stack is None else str(len(stack))
            raise UserError(f"`frozen_layers` is {layers}, but {type(backbone).__name__} has {found} layers")
        modules += list(stack)[: None if layers < 0 else layers]
    for module in modules:
        module.requires_grad_(False)


def num_positions(backbone: Any) -> int:
    """Longest sequence that the model has positions for; RoBERTa's begin behind that of the padding."""
    positions = positions_of(backbone.config, "encoder")
    table = getattr(getattr(backbone, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return positions if padding is None else positions - padding - 1


def positions_of(architecture: Any, part: Literal["encoder", "decoder"]) -> int:
    """How many positions an architecture says that a model has; a very large number where there is no limit.

    Args:
        architecture: The configuration of the model, or of a part of it.
        part: Which part of it is asked for, where the two have different numbers.
    """
    names = (f"max_{part}_position_embeddings", "max_position_embeddings")
    found = (getattr(architecture, name, None) for name in names)
    return int(next(filter(None, found), sys.maxsize))


def _stacks(backbone: Any) -> Iterator[nn.ModuleList]:
    """The lists of as many modules as there are layers, but for those inside of layers."""
    depth, inside = getattr(backbone.config, "num_hidden_layers", None), set[nn.Module]()
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth and module not in inside:
            inside.update(module.modules())
            yield module


def longest_text(backbone: nn.Module, of_tokenizer: int, max_length: int | None) -> int:
    """Longest sequence in tokens.

    Args:
        backbone: The model.
        of_tokenizer: What the tokenizer says; a very large number if it knows no limit.
        max_length: What the configuration says.

    Raises:
        UserError: If that is more than the model has positions for, or nobody says it.
    """
    longest = num_positions(backbone)
    if max_length is not None and max_length > longest:
        raise UserError(f"`max_length` is {max_length}, but the model has positions for {longest} tokens")
    length = max_length or min(longest, of_tokenizer)
    if length > _LONGEST:
        raise UserError("neither model nor tokenizer limits the length of a text; set `max_length`")
    return length


def as_encoder(backbone: Any) -> Any:
    """The model, in training mode and without what an encoder has no use for."""
    backbone.train()  # from_pretrained leaves it in evaluation mode, without dropout
    backbone.pooler = None  # unused, and its parameters would be part of the shared ones
    if getattr(backbone.config, "use_cache", False) and not backbone.config.is_encoder_decoder:
        backbone.config.use_cache = False  # keys and values are of use to generate text alone
    return backbone


def recompute(backbone: Any, options: Mapping[str, Any]) -> None:
    """Has activations computed again in the backward pass.

    Args:
        backbone: The model.
        options: Of ``torch.utils.checkpoint``.
    """
    enable = getattr(backbone, "activation_checkpointing_enable", None)  # its name in new transformers
    (enable or backbone.gradient_checkpointing_enable)({"use_reentrant": False, **options})
