"""A trained model from a checkpoint alone."""

from collections.abc import Collection
from pathlib import Path

from mtl_lightning.checkpoints.exported import weights_in
from mtl_lightning.paths import expanded
from mtl_lightning.training.from_checkpoint import load_as
from mtl_lightning.training.module import MultiTaskModule


def load(path: str | Path, trust_classes: Collection[str] = ()) -> MultiTaskModule:
    """A trained model from a checkpoint alone, ready to predict.

    Args:
        path: A checkpoint that ``fit`` wrote, or the folder of one that ``export --format torch`` wrote.
        trust_classes: Classes of your own, or the modules that they are in, that may be imported where somebody else
            may have written the checkpoint; see SECURITY.md.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: If the file is broken or foreign, or names a class that is not trusted.
    """
    given = Path(expanded(str(path)))
    trusted = trust_classes.split(",") if isinstance(trust_classes, str) else trust_classes
    return load_as(MultiTaskModule, weights_in(given) or given, trusted, "trust_classes=['{}']")
