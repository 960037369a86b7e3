"""Hard sharing: every head reads the same representation."""

from collections.abc import Sequence

from mtl_lightning.sharing.base import R, Sharing


class HardSharing(Sharing):
    """Nothing between encoder and heads.

    Reference: Caruana, "Multitask Learning" (Machine Learning 28, 1997), section 2. Difference: none.
    """

    def forward(self, representation: R, tasks: Sequence[str]) -> dict[str, R]:
        return dict.fromkeys(tasks, representation)
