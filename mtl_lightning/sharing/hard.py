"""Hard sharing: every head reads the same representation."""

from collections.abc import Sequence

from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Representation


class HardSharing(Sharing):
    """All tasks share the whole encoder.

    Reference: Caruana, "Multitask Learning" (Machine Learning 28, 1997), section 2. Difference: none.
    """

    def share(self, encoded: Representation, tasks: Sequence[str]) -> dict[str, Representation]:
        return dict.fromkeys(tasks, encoded)
