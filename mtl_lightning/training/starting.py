"""Starts a model from a trained one."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from mtl_lightning.checkpoints.usable import usable
from mtl_lightning.checkpoints.warm_start import warm_start


def take_over(module: Any, path: Path) -> None:
    """Loads a trained model's encoder, and the heads whose labels fit, and says what was taken.

    Args:
        module: The MultiTaskModule that is to start from it, built.
        path: A checkpoint.

    Raises:
        UserError: If the encoder is another one, or reads text with another tokenizer.
    """
    with usable(path):
        start = warm_start(path, module.state_dict(), module.encoder, module.tasks)
        module.load_state_dict(start.state, strict=False)
    width = max(map(len, start.lines))
    rank_zero_info(
        "\n".join([f"Starts from {path}:", *(f"  {part:{width}}  {said}" for part, said in start.lines.items())])
    )
