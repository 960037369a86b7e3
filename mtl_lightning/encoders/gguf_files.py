"""Files of GGUF, the format of llama.cpp, whose weights are made whole when they are loaded."""

from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedModel
from transformers.utils import is_gguf_available

from mtl_lightning.errors import UserError, did_you_mean


def gguf_options(name: str, gguf_file: str | None) -> dict[str, Any]:
    """What transformers must be told to read a file.

    Args:
        name: The folder, or a name on the hub.
        gguf_file: The file in it; null: it is none of GGUF.

    Raises:
        UserError: If there is no such file, or gguf is missing; or there are only such files, and none is named.
    """
    files = sorted(path.name for path in Path(name).glob("*.gguf"))
    if gguf_file is None:
        if files and not Path(name, "config.json").exists():
            raise UserError(f"`model`: {name} holds files of GGUF; name one: `gguf_file: {files[0]}`")
        return {}
    if Path(name).is_dir() and not Path(name, gguf_file).is_file():
        raise UserError(f"`gguf_file`: {name} has no '{gguf_file}'; {did_you_mean(gguf_file, files)}")
    if not is_gguf_available():
        raise UserError("`gguf_file` needs the package gguf: pip install 'mtl-lightning[gguf]'")
    return {"gguf_file": gguf_file}


def dense_options(gguf_file: str | None) -> dict[str, Any]:
    """What transformers must be told beside, to make the weights whole: new releases keep them where they have kernels
    for them, which cannot train.

    Args:
        gguf_file: See :func:`gguf_options`, which has checked it.
    """
    if gguf_file is None:
        return {}
    config = getattr(transformers, "GgufConfig", None)
    return {"gguf_file": gguf_file, **({} if config is None else {"quantization_config": config(dequantize=True)})}


def forget_file(model: PreTrainedModel) -> None:
    """Makes a model whose weights are whole one like others, which can be saved and converted."""
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)
