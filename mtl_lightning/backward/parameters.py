"""Which parameters train, asked anew for each step."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from torch import nn

from mtl_lightning.backward.options import check_shared, parameters_of
from mtl_lightning.backward.shards import is_sharded

Shared = list[nn.Parameter]
Own = dict[str, list[nn.Parameter]]
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
        is_sharded: Whether each process holds a part alone of some of them.
    """

    def __init__(
        self,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        gradient_of: Literal["shared", "features"] | Sequence[nn.Parameter],
        keep: bool,
    ) -> None:
        self._keep = keep
        self._kept: set[nn.Parameter] = set()
        self.replace(shared, own, gradient_of)

    def replace(
        self,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        gradient_of: Literal["shared", "features"] | Sequence[nn.Parameter],
    ) -> None:
        """Takes other parameters instead."""
        self._own = {task: parameters_of(f"own['{task}']", parameters) for task, parameters in own.items()}
        shared = parameters_of("shared", shared)
        check_shared(shared, self._own)
        holders = Counter(parameter for head in self._own.values() for parameter in head)
        self._shared = list(dict.fromkeys([*shared, *(p for p, number in holders.items() if number > 1)]))
        self._gradient_of = gradient_of
        self.known = {*self._shared, *holders}
        compared = () if isinstance(gradient_of, str) else gradient_of
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
        assert not isinstance(self._gradient_of, str)
        return shared, own, [parameter for parameter in self._gradient_of if parameter.requires_grad]


def same_parameters(first: Trained, second: Trained) -> bool:
    """Whether two answers name the same parameters in the same order."""
    return first is second or _identities(first) == _identities(second)


def _identities(trained: Trained) -> list[list[int] | None]:
    shared, own, evidence = trained
    return [None if part is None else [id(p) for p in part] for part in (shared, evidence, *own.values())]
