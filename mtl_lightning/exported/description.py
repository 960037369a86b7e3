"""What an exported folder holds, in words that JSON has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.decoding import Decoder, decoder_of
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.arrays import ArrayInputs
from mtl_lightning.inputs.base import Inputs as InputReader
from mtl_lightning.inputs.text_inputs import TextInputs
from mtl_lightning.manifest import Manifest, check_files, listed
from mtl_lightning.rows.columns import Inputs
from mtl_lightning.rows.text_format import TextFormat
from mtl_lightning.small_files import read_small_text
from mtl_lightning.writing import write_whole

FORMAT = "onnx"
"""What ``export --format`` calls it."""

DESCRIPTION, TOKENIZER = "model.json", "tokenizer.json"

VERSION = 1
"""Of what stands in the description; a folder of another one is refused."""


class Reading(NamedTuple):
    """One of the ways in which the model reads inputs.

    Attributes:
        columns: Of the training data, by the name of the input.
        form: How the text of files of that data is read.
        graph: File of the model that reads these inputs.
        outputs: Of each task that can be predicted on them: the model's name of each array of its decoder.
    """

    columns: Inputs
    form: TextFormat
    graph: str
    outputs: Mapping[str, Mapping[str, str]]


class Description(NamedTuple):
    """What a folder holds.

    Attributes:
        inputs: What makes arrays of raw values.
        decoders: What makes predictions of arrays, by task.
        readings: Ways to read inputs; that of a data set with more inputs comes before those that it contains.
    """

    inputs: InputReader
    decoders: Mapping[str, Decoder]
    readings: Sequence[Reading]


def write_description(folder: Path, description: Description, more: Mapping[str, Any]) -> None:
    """Writes what a folder holds.

    Args:
        folder: Of the model's files.
        description: What they are.
        more: What else is worth knowing, such as the configuration; nothing reads it again.
    """
    inputs = description.inputs
    kind = next(name for name, made in _KINDS.items() if isinstance(inputs, made))
    if isinstance(inputs, TextInputs):
        write_whole(folder / TOKENIZER, _tokenizer_file(inputs))
    found = {
        "version": VERSION,
        "inputs": {"kind": kind, **inputs.state()},
        "tasks": {name: decoder.state() for name, decoder in description.decoders.items()},
        "readings": [{**reading._asdict(), "form": asdict(reading.form)} for reading in description.readings],
        **more,
    }
    write_whole(folder / DESCRIPTION, json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def read_description(folder: Path) -> Description:
    """What a folder holds, whose files are what they were when it was written.

    Raises:
        UserError: If it is no exported model of this format and version, or a file is missing or another one.
    """
    found = check_files(folder)
    if found.format != FORMAT:
        raise UserError(f"{folder} is an export of the format '{found.format}'; this reads `--format {FORMAT}`")
    try:
        known: Any = json.loads(read_small_text(listed(found, folder, DESCRIPTION)))
        if known["version"] != VERSION:
            raise UserError(
                f"{folder} was exported by mtl_lightning {found.version}, in version {known['version']} of its format; "
                f"this one reads version {VERSION}: export the model again"
            )
        readings = [
            Reading(each["columns"], _form(each["form"]), each["graph"], each["outputs"]) for each in known["readings"]
        ]
        for reading in readings:
            listed(found, folder, reading.graph)
        decoders = {name: decoder_of(state) for name, state in known["tasks"].items()}
        return Description(_inputs(found, folder, known["inputs"]), decoders, readings)
    except UserError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise UserError(f"{folder / DESCRIPTION} is broken: {' '.join(str(error).split())[:200]}") from error


def _form(settings: Mapping[str, Any]) -> TextFormat:
    arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    return TextFormat(**arguments)


def _inputs(found: Manifest, folder: Path, state: Mapping[str, Any]) -> InputReader:
    arguments = dict(state)
    kind = arguments.pop("kind")
    if kind != "texts":
        return ArrayInputs(**arguments)
    from tokenizers import Tokenizer

    from mtl_lightning.inputs.plain_tokenizer import PlainTokenizer

    path = listed(found, folder, TOKENIZER)
    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as error:  # the library has no class of its own
        raise UserError(f"{path} is no tokenizer: {str(error)[:200]}") from error
    return TextInputs(PlainTokenizer(tokenizer, arguments.pop("tokenizer")), **arguments)


def _tokenizer_file(inputs: TextInputs) -> str:
    """The tokenizer as a file holds it, without what a call has set."""
    found = json.loads(inputs.tokenizer.backend_tokenizer.to_str())
    return json.dumps({**found, "truncation": None, "padding": None}, ensure_ascii=False)


_KINDS: Mapping[str, type[InputReader]] = {"texts": TextInputs, "arrays": ArrayInputs}
