"""Cuts any model of the transformers library into its layers, by watching it run once.

Before its first layer a model computes what all layers are called with besides the hidden states: masks, positions,
relative biases. To get at it without knowing the architecture, the model's own ``forward`` runs with layers that take
note of their arguments and change nothing. A layer alone, called with the same arguments, then does what it does inside
of the model; what is called behind the last one, such as a final normalisation, follows it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten_with_path, tree_map_with_path

from mtl_lightning.encoders.base import State
from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.encoders.transformer_stages import Block, Calls, Context, Row, TransformerStage
from mtl_lightning.errors import UserError

_Path = tuple[Any, ...]


@dataclass(frozen=True)
class Cut:
    """How a model is cut.

    Attributes:
        layers: In the order in which they run, one several times if its weights are shared [n].
        extras: How many values each returns besides hidden states; null: the hidden states alone, in no tuple.
        behind: What follows the last one.
        fixed: The layers' tensors, by layer and place among its arguments, that are the same for every example.
    """

    layers: Sequence[nn.Module]
    extras: int | None
    behind: Sequence[nn.Module]
    fixed: frozenset[_Path]

    def stages(self) -> list[nn.Module]:
        """One a layer."""
        last = len(self.layers) - 1
        blocks = [Block(layer, self.behind if i == last else ()) for i, layer in enumerate(self.layers)]
        return [TransformerStage(i, block) for i, block in enumerate(blocks)]

    def begin(self, backbone: nn.Module, inputs: Mapping[str, Tensor], word_starts: Tensor | None = None) -> State:
        """What the first layer reads, and what all are called with."""
        seen: list[tuple[Any, ...]] = []

        def note(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            seen.append((hidden, args, kwargs))
            return hidden if self.extras is None else (hidden, *[None] * self.extras)

        with _replaced(self.layers, note):
            backbone(**inputs)
        assert len(seen) == len(self.layers), "a layer was left out"
        hidden = seen[0][0]
        rows: dict[int, Tensor] = {}

        def noted(path: _Path, leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or path in self.fixed or leaf.shape[:1] != hidden.shape[:1]:
                return leaf
            rows.setdefault(id(leaf), leaf)
            return Row(list(rows).index(id(leaf)))

        arguments = tree_map_with_path(noted, tuple((args, kwargs) for _, args, kwargs in seen))
        return State(hidden, Context(inputs["attention_mask"], word_starts, tuple(rows.values()), Calls(arguments)))


class _Call(NamedTuple):
    module: nn.Module
    hidden: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    output: Any

    @property
    def found(self) -> Any:
        """The hidden states that it returned."""
        return self.output[0] if isinstance(self.output, tuple) and self.output else self.output


def find_cut(backbone: nn.Module, batches: Sequence[Mapping[str, Tensor]]) -> Cut:
    """How a model is cut into layers.

    Args:
        backbone: A model of the transformers library.
        batches: Two batches of inputs for it, of different numbers of examples.

    Raises:
        UserError: If it is not the composition of its layers.
    """
    with in_evaluation(backbone), torch.no_grad():
        return _found(backbone, batches)


def _found(backbone: nn.Module, batches: Sequence[Mapping[str, Tensor]]) -> Cut:
    few, many = (_calls(backbone, batch) for batch in batches)
    first, second = _layers(backbone, few), _layers(backbone, many)
    extras = {len(call.output) - 1 if isinstance(call.output, tuple) else None for call in first}
    if not first or len(first) != len(second) or len(extras) > 1:
        raise _not_cut(backbone)
    fixed = _shapes(first).items() & _shapes(second).items()
    cut = Cut([c.module for c in first], extras.pop(), _behind(few, first[-1]), frozenset(path for path, _ in fixed))
    for batch in batches:
        whole, state = backbone(**batch).last_hidden_state, cut.begin(backbone, batch)
        for stage in cut.stages():
            state = stage(state)
        if state.hidden.shape != whole.shape or not torch.allclose(state.hidden, whole, rtol=1e-4, atol=1e-5):
            raise _not_cut(backbone)
    return cut


def _calls(backbone: nn.Module, batch: Mapping[str, Tensor]) -> list[_Call]:
    """The calls of all modules of a model, in the order in which they end."""
    calls: list[_Call] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        hidden = args[0] if args else None
        calls.append(_Call(module, hidden, (args[1:], dict(kwargs)), output))

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in backbone.modules()]
    try:
        backbone(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _layers(backbone: nn.Module, calls: Sequence[_Call]) -> list[_Call]:
    """The calls of the layers: those to the members of the outermost list of modules that make a chain."""
    depth = getattr(backbone.config, "num_hidden_layers", None)
    for members in (set(m) for m in backbone.modules() if isinstance(m, nn.ModuleList)):
        found = [call for call in calls if call.module in members]
        chained = all(b.hidden is a.found for a, b in pairwise(found))
        if len(found) == depth and chained:
            return found
    return []


def _behind(calls: Sequence[_Call], last: _Call) -> list[nn.Module]:
    """What goes on with what the last layer returned."""
    place = next(i for i, call in enumerate(calls) if call is last)
    later = [call for call in calls[place + 1 :] if last.module not in set(call.module.modules())]
    inner = {module for call in later for module in list(call.module.modules())[1:]}
    hidden, behind = last.found, []
    for call in later:
        if call.module not in inner and call.hidden is hidden:
            hidden = call.found
            behind.append(call.module)
    return behind


def _shapes(layers: Sequence[_Call]) -> dict[_Path, torch.Size]:
    leaves, _ = tree_flatten_with_path(tuple(call.arguments for call in layers))
    return {path: leaf.shape for path, leaf in leaves if isinstance(leaf, Tensor)}


@contextmanager
def _replaced(modules: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    own = {module: vars(module).get("forward") for module in modules}
    for module in own:
        vars(module)["forward"] = forward
    try:
        yield
    finally:
        for module, was in own.items():
            if was is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = was


def _not_cut(backbone: nn.Module) -> UserError:
    return UserError(
        f"model.sharing: {type(backbone).__name__} cannot be cut into stages, since it is not the composition of its "
        "layers; choose another model, or a sharing that runs the encoder whole, such as HardSharing or MMoE"
    )
