"""Looks at the graph of a task's loss the first time that it comes, for what would have no effect in silence."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mtl_lightning.backward.graph import hides_parameters, leaf, node_of, nodes, parameters
from mtl_lightning.backward.misuse import check_losses
from mtl_lightning.backward.processes import is_first
from mtl_lightning.backward.step import Setup
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import LossWeighting

_LOG = logging.getLogger(__name__)


class Inspection:
    """Finds losses that train nothing, or not what the tasks are compared by, and parameters that nobody has named.

    It costs a walk through the graph, so that each task is looked at once, and again when ``renew`` was called.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._reaching: set[str] = set()
        self._apart: set[str] = set()
        self._said: set[str] = set()

    def knows(self, losses: Mapping[str, Tensor]) -> bool:
        """Whether all these tasks have been looked at."""
        return isinstance(losses, Mapping) and losses.keys() <= self._seen

    def renew(self) -> None:
        """Looks at every task again."""
        self._seen, self._reaching, self._apart = set(), set(), set()

    def look(
        self,
        setup: Setup,
        known: Collection[nn.Parameter],
        losses: Mapping[str, Tensor],
        shares: Mapping[str, float],
        features: Sequence[Tensor],
    ) -> None:
        """Looks at the losses of tasks that are new.

        Args:
            setup: What is trained.
            known: All parameters that the executor was given.
            losses: As for ``Executor.add``.
            shares: The same.
            features: The same.

        Raises:
            UserError: If these are no losses, if none of them depends on what it is to train or to be compared by, or
                if one of them depends on a parameter that is not known.
        """
        check_losses(setup.weighting, losses, shares, setup.like.device)
        new = {task: loss for task, loss in losses.items() if task not in self._seen}
        _refuse_unknown(new, known)
        for task, loss in new.items():
            targets = _targets(setup, task, features)
            (self._reaching if targets is None or _reaches(loss, targets) else self._apart).add(task)
        self._judge(setup, new)
        self._seen.update(new)

    def _judge(self, setup: Setup, new: Mapping[str, Tensor]) -> None:
        apart = [task for task in new if task in self._apart]
        if not self._reaching and apart and (len(apart) > 1 or len(self._apart) == len(setup.weighting.tasks)):
            raise UserError(_nothing_reaches(setup, apart, any(new[task].requires_grad for task in apart)))
        if self._reaching:
            for task in sorted(self._apart):
                self._warn(f"The loss of task '{task}' depends on no {_what(setup)}: {_left_out(setup)}.")
        if not setup.compares and not isinstance(setup.weighting, LossWeighting):
            self._warn(
                "Nothing that trains now is shared by the tasks (or is what `gradient_of` compares them by): "
                f"{type(setup.weighting).__name__} has no gradients to compare and is not asked; heads train as before."
            )

    def _warn(self, line: str) -> None:
        """Says a line once."""
        if line not in self._said and is_first():
            _LOG.warning(line)
        self._said.add(line)


def _targets(setup: Setup, task: str, features: Sequence[Tensor]) -> set[Any] | None:
    """Parameters and nodes of which a loss should reach one; null where nothing trains."""
    if _trains(setup):
        if setup.evidence is None:
            return {node for tensor in features if (node := node_of(tensor)) is not None}
        return _trained(setup.evidence) or _trained(setup.shared)
    return _trained(setup.own[task]) or None


def _trains(setup: Setup) -> bool:
    return any(parameter.requires_grad for parameter in setup.shared)


def _trained(candidates: Iterable[nn.Parameter]) -> set[Any]:
    return {parameter for parameter in candidates if parameter.requires_grad}


def _reaches(loss: Tensor, targets: set[Any]) -> bool:
    return any(node in targets or leaf(node) in targets or hides_parameters(node) for node in nodes([loss]))


def _refuse_unknown(losses: Mapping[str, Tensor], known: Collection[nn.Parameter]) -> None:
    if all(parameter in known for parameter in parameters(losses.values())):
        return
    for task, loss in losses.items():
        for parameter in parameters([loss]):
            if parameter not in known:
                raise UserError(
                    f"the loss of task '{task}' depends on a parameter of shape {list(parameter.shape)} that is "
                    "neither in `shared` nor in `own`, so that it would not train; add it, call `use` if the model has "
                    "changed (or the executor is a copy), or freeze it with `requires_grad_(False)`"
                )


def _what(setup: Setup) -> str:
    if not _trains(setup):
        return "parameter that trains"
    return "shared parameter" if setup.evidence is setup.shared else "parameter or feature that tasks are compared by"


def _left_out(setup: Setup) -> str:
    if isinstance(setup.weighting, LossWeighting) or not _trains(setup):
        return "it trains its head at most"
    return f"{type(setup.weighting).__name__} sees a gradient of zero"


def _nothing_reaches(setup: Setup, tasks: Sequence[str], differentiable: bool) -> str:
    names = ", ".join(f"'{task}'" for task in tasks)
    if not differentiable:
        return (
            f"the losses of {names} have no graph, so that nothing would train; were they computed under "
            "`torch.no_grad()`, detached, or made of numbers?"
        )
    if setup.evidence is None and _trains(setup):
        return (
            f"`gradient_of: features` needs the `features` that the losses of {names} were computed from; none of them "
            "depends on those given (are they of another batch, detached, or changed since?)"
        )
    return (
        f"the losses of {names} depend on no {_what(setup)}: was the encoder run under `torch.no_grad()`, its output "
        "detached, or its forward pass checkpointed with `use_reentrant=True` (use False)? If it is to be frozen, call "
        "`requires_grad_(False)` on it"
    )
