"""Starts a model from a trained one."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from mtl_lightning.checkpoints.usable import usable
from mtl_lightning.checkpoints.warm_start import warm_start


def take_over(module: Any, path: Path) -> None:
    """Loads a trained model's encoder, and the heads whose labels fit, and says what was taken.

    Args:
        module: The MultiTaskModule that is to start from it, built.
        path: A checkpoint.

    Raises:
        UserError: If the encoder is another one, or reads its inputs differently: with another tokenizer, say.
    """
    with usable(path):
        start = warm_start(path, module.state_dict(), module.encoder, module.tasks, _originals(module))
        module.load_state_dict(start.state, strict=False)
    width = max(map(len, start.lines))
    rank_zero_info(
        "\n".join([f"Starts from {path}:", *(f"  {part:{width}}  {said}" for part, said in start.lines.items())])
    )


def _originals(module: Any) -> dict[str, str]:
    """The names of parameters and buffers that copy one of the encoder's, each with that one's name."""
    state = {name: value for name, value in module.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    names = {id(value): name for name, value in reversed(state.items())}
    sources: dict[int, str] = {}
    for copy, original in module.sharing.copies():
        own = original.state_dict(keep_vars=True)
        for key, value in copy.state_dict(keep_vars=True).items():
            if isinstance(value, Tensor) and value is not own[key]:
                sources[id(value)] = names[id(own[key])]
    return {name: sources[id(value)] for name, value in state.items() if id(value) in sources}
