"""Whether the experts of a sharing are used as they should be."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.sharing.observing import UNUSED, ExpertUse

_warn = rank_zero_only(logging.getLogger(__name__).warning)
_COLLAPSED = 0.95
_MAX_NAMED = 6
_REMEDY = "take fewer, or raise the coefficient of the term that balances them, if there is one"


class Taken(NamedTuple):
    """What the tasks took of a level's experts in an epoch, the mean over its batches on the first process.

    Attributes:
        level: Name of the level, or nothing where there is one alone.
        readers: By expert, the tasks that may read it.
        shares: By task and expert, what it took, 1 in sum over the experts.
        own: Experts that may serve one task alone, though others may read them.
        balanced: Whether each expert should be used.
    """

    level: str
    readers: Mapping[str, Sequence[str]]
    shares: Mapping[str, Mapping[str, float]]
    own: Sequence[str] = ()
    balanced: bool = True

    @classmethod
    def of(cls, use: ExpertUse) -> "Taken":
        """Reads what was noted since the last reset; the device is waited for."""
        means = {task: use.mean(task) for task in use.tasks}
        shares = {
            task: dict(zip(use.experts_of(task), mean.tolist(), strict=True))
            for task, mean in means.items()
            if mean is not None
        }
        return cls(use.name, use.experts, shares, use.own, use.balanced)

    def by_expert(self, own: bool = True) -> Iterator[tuple[str, dict[str, float]]]:
        """Each expert, as messages call it, with what each task that may read it took.

        Args:
            own: Whether those count, too, that may serve one task alone.
        """
        for expert in self.readers:
            taken = {task: shares[expert] for task, shares in self.shares.items() if expert in shares}
            if taken and (own or expert not in self.own):
                yield (f"{expert} ({self.level})" if self.level else expert), taken


class ExpertWatch(Callback):
    """Says in a line, once in a run and at the end of an epoch, what is wrong with the experts of a sharing.

    :class:`MultiTaskModule` installs it where the sharing notes what its experts are used for.

    Attributes:
        newest: Of the epoch that ended last, by level.
    """

    def __init__(self) -> None:
        self.newest: list[Taken] = []
        self._said: set[str] = set()
        self._sharing: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes note of the sharing."""
        self._sharing = pl_module.sharing

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at what the epoch found."""
        levels = self._levels
        self.newest = [Taken.of(use) for use in levels]
        for use in levels:
            use.reset()
        for kind, line in remarks(self.newest).items():
            if kind not in self._said:
                self._said.add(kind)
                _warn(f"model.sharing: {line}")

    @property
    def _levels(self) -> Sequence[ExpertUse]:
        found: Sequence[ExpertUse] = self._sharing.observe().use
        return found

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, which may be saved within an epoch."""
        counted, newest = [use.counted() for use in self._levels], [level._asdict() for level in self.newest]
        return {"said": sorted(self._said), "counted": counted, "newest": newest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._said = set(state_dict["said"])
        self.newest = [Taken(**level) for level in state_dict["newest"]]
        for use, counted in zip(self._levels, state_dict["counted"], strict=False):
            use.count_on(counted)


def remarks(levels: Sequence[Taken]) -> dict[str, str]:
    """What is wrong with how experts are used, by kind of mistake: a collapse, a waste, a loner.

    Args:
        levels: What the tasks took in an epoch.
    """
    several = [level for level in levels if level.balanced and len(level.readers) > 1]
    experts = [found for level in several for found in level.by_expert()]
    names = [name for name, taken in experts if min(taken.values()) > _COLLAPSED and len(taken) > 1]
    if names:
        return {
            "collapse": f"every task takes more than {_COLLAPSED:.0%} from {_listed(names)}: the experts have "
            f"collapsed into one; {_REMEDY}"
        }
    found = {}
    if idle := [name for name, taken in experts if max(taken.values()) < UNUSED]:
        found["idle"] = f"nobody uses {_listed(idle)} (less than {UNUSED:.0%}); {_REMEDY}"
    shared = [found for level in several for found in level.by_expert(own=False) if len(found[1]) > 1]
    users = {name: [task for task in taken if taken[task] >= UNUSED] for name, taken in shared}
    if alone := [f"{name} ({tasks[0]})" for name, tasks in users.items() if len(tasks) == 1]:
        found["alone"] = (
            f"shared experts that serve one task alone: {_listed(alone)}; take fewer, or a sharing in which tasks have "
            "experts of their own, such as CGC"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
