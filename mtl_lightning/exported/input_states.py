"""What reads the inputs of an exported model, in words that JSON has, and tokenizers in files of their own."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mtl_lightning.decoding.from_state import made
from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.arrays import ArrayInputs
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.column_statistics import ColumnStatistics
from mtl_lightning.inputs.images import ImageInputs
from mtl_lightning.inputs.modalities import ModalityInputs
from mtl_lightning.inputs.sounds import SoundInputs
from mtl_lightning.inputs.tables import TableInputs
from mtl_lightning.inputs.text_inputs import TextInputs
from mtl_lightning.inputs.waveforms import WaveformInputs
from mtl_lightning.inputs.whisper import WhisperInputs

TOKENIZER = "tokenizer.json"

_TEXTS, _MODALITIES = "texts", "modalities"
_KINDS: Mapping[str, type[Inputs]] = {
    _TEXTS: TextInputs,
    _MODALITIES: ModalityInputs,
    "arrays": ArrayInputs,
    "images": ImageInputs,
    "sounds": SoundInputs,
    "waveforms": WaveformInputs,
    "whisper": WhisperInputs,
    "tables": TableInputs,
}


def state_of(inputs: Inputs) -> dict[str, Any]:
    """What reads inputs, with its kind."""
    kind = next(name for name, made in _KINDS.items() if isinstance(inputs, made))
    if isinstance(inputs, ModalityInputs):
        return {"kind": kind, "parts": {name: state_of(part) for name, part in inputs.parts.items()}}
    return {"kind": kind, **inputs.state()}


def inputs_of(state: Mapping[str, Any], tokenizers: Mapping[str, Any], prefix: str = "") -> Inputs:
    """What :func:`state_of` has described.

    Args:
        state: It stays as it is.
        tokenizers: By file.
        prefix: Before the name of a tokenizer's file.

    Raises:
        ValueError: If it describes something else.
    """
    own = {name: value for name, value in state.items() if name != "kind"}
    kind = state["kind"]
    if kind == _MODALITIES:
        parts = own["parts"].items()
        return ModalityInputs({name: inputs_of(part, tokenizers, f"{prefix}{name}.") for name, part in parts})
    if kind == "tables":
        return made(TableInputs, own, ColumnStatistics.read(own.pop("statistics")))
    if kind in ("arrays", "images", "sounds", "waveforms", "whisper"):
        return made(_KINDS[kind], own)
    if kind != _TEXTS:
        raise ValueError(f"unknown kind of inputs, {shown(kind)}")
    from mtl_lightning.inputs.plain_tokenizer import PlainTokenizer

    described = made(_Tokenizer, own.pop("tokenizer"))
    return made(TextInputs, own, PlainTokenizer(tokenizers[f"{prefix}{TOKENIZER}"], asdict(described)))


def tokenizers_of(inputs: Inputs, prefix: str = "") -> dict[str, str]:
    """Tokenizers as files hold them, without what a call has set, by the name of the file."""
    if isinstance(inputs, ModalityInputs):
        parts = inputs.parts.items()
        return {file: text for name, part in parts for file, text in tokenizers_of(part, f"{prefix}{name}.").items()}
    if not isinstance(inputs, TextInputs):
        return {}
    found = json.loads(inputs.tokenizer.backend_tokenizer.to_str())
    text = json.dumps({**found, "truncation": None, "padding": None}, ensure_ascii=False)
    return {f"{prefix}{TOKENIZER}": text}


def tokenizer_files(state: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of the files of tokenizers that a described reader of inputs needs."""
    if state["kind"] == _TEXTS:
        yield f"{prefix}{TOKENIZER}"
    elif state["kind"] == _MODALITIES:
        for name, part in state["parts"].items():
            yield from tokenizer_files(part, f"{prefix}{name}.")


def tokenizer_in(path: Path) -> Any:
    """The tokenizer in a file, which has read something.

    Raises:
        UserError: If there is none.
    """
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_str(path.read_text("utf-8"))
        found.encode("a", "b")
    except BaseException as error:  # the library has no class of its own; what it panics of is no Exception
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise
        raise UserError(f"{path} is no tokenizer: {str(error)[:200]}") from error
    return found


@dataclass(frozen=True)
class _Tokenizer:
    """What stands of a tokenizer beside its file; see :func:`.described`."""

    model_input_names: tuple[str, ...]
    pad_token_id: int | None
    truncation_side: Literal["left", "right"]
