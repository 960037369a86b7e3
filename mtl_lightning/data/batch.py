"""What the model sees of one data set in one step."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_lightning.data.episodes.form import Form


class Batch(NamedTuple):
    """A batch from one data set. Numbers of labels are known on the host, so that no step has to ask the device.

    Attributes:
        inputs: The encoder's inputs, each [B, ...].
        targets: Encoded labels by task, each [B, ...]; only the tasks that this data set labels.
        counts: Number of labels present in this batch, by task.
        shares: By task, the weight of this batch's mean loss in the mean over all labels of the optimizer's step: its
            labels divided by the step's, times the number of processes, over which gradients are averaged, and of the
            batches of an accumulation in which the task appears.
        examples: Row numbers of the examples in their data set, B of them.
        num_tokens: Size of the inputs in the encoder's unit, without padding.
        soft_shares: The same of the mean soft loss, over all places of the step, labelled or not; only the tasks that a
            teacher teaches.
        step_size: Number of examples of this data set in the step, on all processes; 0: not known, as in an evaluation.
        form: Which rows are support and query sets of which episode; null: they are no episodes.
        validation: A batch of the validation split of the same data set, which comes with a training batch where the
            weighting asks for it; null: none.
        supports: Batches of support sets that other data sets give, one after the other as the query sets are that this
            one has, by data set.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    counts: dict[str, int]
    shares: dict[str, float]
    examples: list[int]
    num_tokens: int
    step_size: int = 0
    soft_shares: dict[str, float] = {}  # noqa: RUF012 - nobody changes it
    form: Form | None = None
    validation: "Batch | None" = None
    supports: Mapping[str, "Batch"] = {}

    @property
    def taught(self) -> Collection[str]:
        """The tasks that learn from this batch: from labels, or from a teacher."""
        return {**self.shares, **self.soft_shares}

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; Lightning asks for it, which would look at every number of an example otherwise."""
        wait = device.type in ("cpu", "mps")  # as it does: mps may not copy later

        def moved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device, non_blocking=not wait) for name, tensor in tensors.items()}

        beside = None if self.validation is None else self.validation.to(device)
        supports = {name: each.to(device) for name, each in self.supports.items()}
        return self._replace(
            inputs=moved(self.inputs), targets=moved(self.targets), validation=beside, supports=supports
        )


StepBatch = Mapping[str, Batch]
"""What one optimizer step sees: a batch from each data set that the schedule drew, by data set."""
