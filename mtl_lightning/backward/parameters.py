"""Which parameters train, asked anew for each step."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from torch import nn

from mtl_lightning.backward.options import check_shared, parameters_of
from mtl_lightning.backward.shards import is_sharded

Shared = list[nn.Parameter]
Own = dict[str, list[nn.Parameter]]
GradientOf: TypeAlias = Literal["shared", "features"] | Sequence[nn.Parameter] | Sequence[Sequence[nn.Parameter]]
"""What the tasks are compared by: some parameters, or groups of shared ones, one after another."""
Trained = tuple[Shared, Own, Shared | None]
"""Shared parameters, those of each head, and those whose gradients are compared (none of them: the features')."""


class Candidates:
    """The parameters that may train.

    Args:
        shared: Parameters that several tasks train.
        own: Parameters of each task's head. What several heads hold counts as shared.
        gradient_of: What the tasks are compared by; see :class:`mtl_lightning.backward.Executor`.
        keep: Whether a shared parameter that has trained stays among the shared ones when it is frozen, for methods
            that keep something of each.

    Attributes:
        known: All of them, frozen or not.
        layers: Groups of the shared parameters, for a weighting per layer; each parameter is one by default.
        is_sharded: Whether each process holds a part alone of some of them.
    """

    def __init__(
        self,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        gradient_of: GradientOf,
        keep: bool,
    ) -> None:
        self._keep = keep
        self._kept: set[nn.Parameter] = set()
        self.replace(shared, own, gradient_of)

    def replace(
        self,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        gradient_of: GradientOf,
    ) -> None:
        """Takes other parameters instead."""
        self._own = {task: parameters_of(f"own['{task}']", parameters) for task, parameters in own.items()}
        shared = parameters_of("shared", shared)
        check_shared(shared, self._own)
        holders = Counter(parameter for head in self._own.values() for parameter in head)
        self._shared = list(dict.fromkeys([*shared, *(p for p, number in holders.items() if number > 1)]))
        groups = groups_of(gradient_of)
        self.layers = [[parameter] for parameter in self._shared] if groups is None else groups
        self._gradient_of: Any = "shared" if groups is not None else gradient_of
        self.known = {*self._shared, *holders}
        compared = () if isinstance(self._gradient_of, str) else self._gradient_of
        self._all = list(dict.fromkeys([*self._shared, *holders, *compared]))
        self.is_sharded = any(map(is_sharded, self._all))
        self._flags: list[bool] | None = None

    def trained(self) -> Trained:
        """Those that train now, each once: what several heads hold is shared. The same object while nothing changes."""
        flags = [parameter.requires_grad for parameter in self._all]
        if flags != self._flags:
            self._flags, self._trained = flags, self._find()
        return self._trained

    def _find(self) -> Trained:
        if self._keep:
            self._kept.update(p for p in self._shared if p.requires_grad)
        shared = [p for p in self._shared if p.requires_grad or p in self._kept]
        several = set(self._shared)
        own = {task: [p for p in head if p.requires_grad and p not in several] for task, head in self._own.items()}
        if self._gradient_of == "shared":
            return shared, own, shared
        if self._gradient_of == "features":
            return shared, own, None
        return shared, own, [parameter for parameter in self._gradient_of if parameter.requires_grad]


def groups_of(gradient_of: GradientOf) -> list[list[nn.Parameter]] | None:
    """Groups of parameters, if these are what the tasks are compared by."""
    if isinstance(gradient_of, str):
        return None
    groups = [group for group in gradient_of if not isinstance(group, nn.Parameter)]
    return [list(group) for group in groups] if groups else None


def layout(layers: Sequence[Sequence[nn.Parameter]], shared: Sequence[nn.Parameter]) -> list[tuple[int, int]]:
    """The layer of each shared parameter, and its size; those that stand in none make one more, the last."""
    of_layer = {parameter: number for number, layer in enumerate(layers) for parameter in layer}
    return [(of_layer.get(parameter, len(layers)), parameter.numel()) for parameter in shared]


def same_parameters(first: Trained, second: Trained) -> bool:
    """Whether two answers name the same parameters in the same order."""
    return first is second or _identities(first) == _identities(second)


def _identities(trained: Trained) -> list[list[int] | None]:
    shared, own, evidence = trained
    return [None if part is None else [id(p) for p in part] for part in (shared, evidence, *own.values())]
