"""Callbacks that every training run needs."""

from typing import Any

from lightning.pytorch import Callback

from mtl_lightning.callbacks.expert_watch import ExpertWatch
from mtl_lightning.callbacks.exposure import Exposure
from mtl_lightning.callbacks.several_batches import SeveralBatches
from mtl_lightning.callbacks.skipping import StopWhenNotFinite
from mtl_lightning.callbacks.told_preference import ToldPreference
from mtl_lightning.callbacks.training_time import TrainingTime
from mtl_lightning.callbacks.volumes import Volumes


def companions(module: Any, max_skipped: int | None) -> list[Callback]:
    """Those that go with a module.

    Args:
        module: The MultiTaskModule.
        max_skipped: See there.
    """
    found: list[Callback] = [Exposure(), TrainingTime(), Volumes()]
    if module.sharing.observe().use:
        found.append(ExpertWatch())
    if (number := module.batches_per_step) > 1:
        found.append(SeveralBatches(number, type(module.weighting).__name__))
    if module.sharing.wants_preference or module.weighting.draws_preference:
        found.append(ToldPreference())
    return found if max_skipped is None else [*found, StopWhenNotFinite(max_skipped)]
