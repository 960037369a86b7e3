"""What an exported folder holds, in words that JSON has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.decoding import Decoder, decoder_of
from mtl_lightning.decoding.from_state import made
from mtl_lightning.decoding.tags import TagDecoder
from mtl_lightning.errors import UserError, shown
from mtl_lightning.exported.input_states import inputs_of, state_of, tokenizer_files, tokenizer_in, tokenizers_of
from mtl_lightning.inputs.base import Inputs as InputReader
from mtl_lightning.manifest import check_files, listed
from mtl_lightning.rows.columns import Inputs, pairs_of
from mtl_lightning.rows.made_columns import MadeColumns, names_in
from mtl_lightning.rows.text_format import TextFormat
from mtl_lightning.writing import write_whole

FORMAT = "onnx"
"""What ``export --format`` calls it."""

DESCRIPTION = "model.json"

VERSION = 1
"""Of what stands in the description; a folder of another one is refused."""


_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError, OverflowError)
"""What reading a file may raise that holds something else."""


class Reading(NamedTuple):
    """One of the ways in which the model reads inputs.

    Attributes:
        columns: Of the training data, by the name of the input.
        form: How the text of files of that data is read.
        graph: File of the model that reads these inputs.
        outputs: Of each task that can be predicted on them: the model's name of each array of its decoder.
        labels: Tasks that the data labels; inputs are read so first where these tasks are asked for.
        found: Inputs that are read as a task finds them, by its name; null: none are there.
        constants: See :class:`.MadeColumns`.
        templates: See there.
    """

    columns: Inputs
    form: TextFormat
    graph: str
    outputs: Mapping[str, Mapping[str, str]]
    labels: Sequence[str] = ()
    found: Mapping[str, str | None] = {}
    constants: Mapping[str, Any] = {}
    templates: Mapping[str, str] = {}

    @property
    def made(self) -> MadeColumns:
        """Columns that a file need not have."""
        return MadeColumns(self.constants, self.templates)

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs that the graph reads."""
        return list(dict.fromkeys([*self.columns, *self.found]))


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
    for file, text in tokenizers_of(description.inputs).items():
        write_whole(folder / file, text)
    found = {
        "version": VERSION,
        "inputs": state_of(description.inputs),
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
        remedy = "; `predict --ckpt_path` reads it" if found.format == "torch" else ""
        raise UserError(
            f"{folder} is an export of the format {shown(found.format)}; this reads `--format {FORMAT}`{remedy}"
        )
    path = listed(found, folder, DESCRIPTION)
    try:
        known: Any = json.loads(path.read_text("utf-8"))  # of any size: it holds the categories of tables
        version = known["version"]
        tokenizers = {file: tokenizer_in(listed(found, folder, file)) for file in tokenizer_files(known["inputs"])}
    except UserError:
        raise
    except _BROKEN as error:
        raise _broken(path, error) from error
    if version != VERSION:
        raise _of_another_version(folder, found.version, version)
    try:
        description = _described(known, tokenizers)
    except (*_BROKEN, UserError) as error:
        raise _broken(path, error) from error
    for reading in description.readings:
        listed(found, folder, reading.graph)
    return description


def _described(known: Mapping[str, Any], tokenizers: Mapping[str, Any]) -> Description:
    decoders = {name: decoder_of(state) for name, state in known["tasks"].items()}
    inputs = inputs_of(known["inputs"], tokenizers)
    readings = [_reading(each, decoders, inputs) for each in known["readings"]]
    if not (decoders and readings):
        raise ValueError("it names no tasks, or no inputs")
    return Description(inputs, decoders, readings)


def _broken(path: Path, error: Exception) -> UserError:
    said = repr(error) if isinstance(error, LookupError) else " ".join(str(error).split())
    return UserError(f"{path} is broken: {said[:300]}; export the model again")


def _of_another_version(folder: Path, release: str, version: Any) -> UserError:
    newer = isinstance(version, int) and version > VERSION
    remedy = "update mtl_lightning" if newer else "export the model again"
    return UserError(
        f"{folder} was exported by mtl_lightning {release[:40]}, in version {str(version)[:40]} of its format; "
        f"this one reads version {VERSION}: {remedy}"
    )


def _reading(each: Mapping[str, Any], decoders: Mapping[str, Decoder], inputs: InputReader) -> Reading:
    """A way to read inputs.

    Raises:
        ValueError: If it does not fit tasks and inputs, or is none.
    """
    form = {name: tuple(v) if isinstance(v, list) else v for name, v in each["form"].items()}
    found = Reading(**{**each, "form": made(TextFormat, form)})
    pairs, arrays = pairs_of(found.columns), [name for of_task in found.outputs.values() for name in of_task.items()]
    named = [found.graph, *found.labels, *(text for pair in (*pairs, *arrays) for text in pair)]
    finders = [task for task in found.found.values() if task is not None]
    if not (pairs and all(isinstance(text, str) for text in named)):
        raise ValueError("a way to read inputs must name columns, a graph and its outputs")
    for template in found.templates.values():
        names_in(template)
    if odd := [task for task in (*found.outputs, *finders) if task not in decoders]:
        raise ValueError(f"unknown task {shown(odd[0])}")
    if odd := [task for task in finders if task not in found.outputs or not _finds_spans(decoders[task])]:
        raise ValueError(f"task {shown(odd[0])} finds no spans")
    if odd := [name for name in found.inputs if name not in inputs.inputs]:
        raise ValueError(f"unknown input {shown(odd[0])}")
    return found


def _finds_spans(decoder: Decoder) -> bool:
    return isinstance(decoder, TagDecoder) and decoder.scheme == "bio"
