"""Tells the sharing which tasks a step prefers."""

import logging
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

_warn = rank_zero_only(logging.getLogger(__name__).warning)


class ToldPreference(Callback):
    """Before each batch of training, the sharing hears of the preference that the weighting has drawn for it.

    :class:`MultiTaskModule` installs it where the one ``wants_preference`` or the other ``draws_preference``.
    """

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Warns where one of the two lacks the other."""
        sharing, weighting = pl_module.sharing, pl_module.weighting
        if stage != "fit" or sharing.wants_preference == weighting.draws_preference:
            return
        if sharing.wants_preference:
            _warn(
                "model.sharing: %s learns what preferences mean from those that the weighting draws, and %s draws "
                "none; choose model.weighting: COSMOS",
                *(type(each).__name__ for each in (sharing, weighting)),
            )
        else:
            _warn(
                "model.weighting: %s draws preferences, of which %s is not told, so that its weights are random "
                "numbers; choose model.sharing: PreferenceFiLM",
                *(type(each).__name__ for each in (weighting, sharing)),
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Tells it."""
        if pl_module.sharing.wants_preference and pl_module.weighting.draws_preference:
            pl_module.sharing.prefer(pl_module.weighting.preference)
