"""The layers of a transformer as stages, and what they need besides hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mtl_lightning.encoders.base import State


class Context(NamedTuple):
    """What the layers of a transformer need besides hidden states.

    Attributes:
        mask: The attention mask [B, L].
        word_starts: Position of the first token of each word, -1 where there is none [B, W]; null: no words.
        rows: Tensors that the layers are called with, each once, each [B, ...].
        calls: How each layer is called.
    """

    mask: Tensor
    word_starts: Tensor | None
    rows: tuple[Tensor, ...]
    calls: "Calls"


@dataclass(frozen=True)
class Calls:
    """The arguments of each layer, hidden states aside; a leaf to those who map a function over a context's tensors.

    Attributes:
        arguments: Positional ones and those by name [n]; a :class:`Row` stands for a tensor of ``Context.rows``. Other
            tensors in them are the same for every example.
    """

    arguments: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]

    def of(self, layer: int, rows: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a layer is called with besides the hidden states."""
        found: tuple[tuple[Any, ...], dict[str, Any]] = tree_map(
            lambda leaf: rows[leaf.index] if isinstance(leaf, Row) else leaf, self.arguments[layer]
        )
        return found


@dataclass(frozen=True)
class Row:
    """Stands for a tensor in ``Context.rows``."""

    index: int


class Block(nn.Module):
    """A layer, with what follows it; layers of the same kind compile into the same graph.

    Args:
        layer: It returns hidden states, alone or as the first of a tuple.
        behind: What follows.
    """

    def __init__(self, layer: nn.Module, behind: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer = layer
        self.behind = nn.ModuleList(behind)

    def forward(self, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        output = self.layer(hidden, *args, **kwargs)
        hidden = output[0] if isinstance(output, tuple) else output
        for module in self.behind:
            hidden = module(hidden)
        return hidden


class TransformerStage(nn.Module):
    """A layer of a transformer as a stage.

    Args:
        index: Which layer it is.
        block: It.
    """

    def __init__(self, index: int, block: Block) -> None:
        super().__init__()
        self.index = index
        self.block = block

    def forward(self, state: State) -> State:
        hidden, context = state
        if len(hidden) == 0:  # which few models can reshape
            return state._replace(hidden=hidden + sum(parameter.sum() for parameter in self.parameters()))
        return state._replace(hidden=self.block(hidden, *context.calls.of(self.index, context.rows)))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles the block alone: a graph that knew which layer it is would serve no other one."""
        self.block.compile(*args, **kwargs)
