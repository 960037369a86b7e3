"""Hard sharing: every head reads the same representation."""

from collections.abc import Sequence
from copy import deepcopy

from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Encoder, Representation


class HardSharing(Sharing):
    """All tasks share the whole encoder; every head reads the same features.

    Cost: that of the encoder, however many tasks there are.

    Reference: Caruana, "Multitask Learning" (Machine Learning 28, 1997), section 2. Difference: none.

    Helps: where tasks can use the same features, most of all where some have few labels: nothing is cheaper, and there
    is nothing to choose. Fails: where tasks need different features, and the encoder is too small for all of them.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
    """

    is_plain = True

    def share(self, encoded: Representation, tasks: Sequence[str]) -> dict[str, Representation]:
        return dict.fromkeys(tasks, encoded)

    def merge(self, task: str) -> Encoder:
        self._refuse_unknown(task)
        return deepcopy(self.encoder)
