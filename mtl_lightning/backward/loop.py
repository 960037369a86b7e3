"""What a loop tells the weighting besides its steps."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from mtl_lightning.backward.contract import Contract
from mtl_lightning.backward.inspection import Inspection
from mtl_lightning.backward.means import EpochMeans
from mtl_lightning.backward.passes import Losses
from mtl_lightning.backward.step import Setup


class Loop:
    """The part of the executor that is called between steps.

    Args:
        setup: What is trained.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.means = EpochMeans(setup)
        """Mean losses of the epoch."""
        self._contract = Contract(setup.weighting)
        self._inspection = Inspection()

    @property
    def scaler(self) -> Any:
        """The gradient scaler of fp16 training, an object like ``torch.amp.GradScaler``; none at first."""
        return self.setup.scaler

    @scaler.setter
    def scaler(self, scaler: Any) -> None:
        self.setup.scaler = scaler

    def start_epoch(self, epoch: int) -> None:
        """Starts an epoch, and tells the weighting the mean losses of the epoch before.

        Args:
            epoch: Its number, as for ``DistributedSampler.set_epoch``.
        """
        self._contract.start_epoch(self.means.epoch in (None, epoch))
        self.means.start(epoch, self.setup.weighting)
        self._inspection.renew()

    @property
    def needs_losses_after(self) -> bool:
        """Whether the weighting waits for ``finish_step``: FAMO after each optimizer step that was not taken back."""
        return self._contract.owes_losses

    def finish_step(self, batches: Losses | Iterable[tuple[Losses, Mapping[str, float]]]) -> None:
        """Tells a weighting that ``needs_losses_after`` what the optimizer step has done; else it does nothing.

        Args:
            batches: Losses of the step's last batch under the new parameters; where there are several, losses and
                shares of each, as for ``add``. Dropout and the like should be as in the step.
        """
        if not self._contract.owes_losses:
            return
        parts = [(batches, dict.fromkeys(batches, 1.0))] if isinstance(batches, Mapping) else batches
        self._contract.tell_losses(self.setup, parts)

    def finish_validation(self, losses: Mapping[str, float | Tensor]) -> None:
        """Tells the weighting the losses of a validation.

        Args:
            losses: Mean validation loss of each task that has labels there, over all processes.
        """
        self._contract.tell_validation(self.setup, losses)

    def __getstate__(self) -> dict[str, Any]:
        """For copies, in which nothing has been looked at."""
        return {**self.__dict__, "_contract": Contract(self.setup.weighting), "_inspection": Inspection()}
