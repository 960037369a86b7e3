"""Says once what of a data set was left out, cut off, or looks like a mistake."""

import logging
from collections.abc import Mapping

import numpy as np
from datasets import Dataset

from mtl_lightning.data.columns import integers, read_rows, with_prefix
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.readers.bad_rows import write_bad_rows

_LOG = logging.getLogger(__name__)

_AT_A_TIME = 100_000
"""Rows."""


def report(encoding: Encoding, table: Dataset, encoded: Dataset, split: str, folder: str) -> None:
    """Logs a warning for each kind of finding, and writes the rows that were skipped to a file.

    Args:
        encoding: Of the data set.
        table: Raw columns.
        encoded: What they were encoded to.
        split: Name of the split.
        folder: The run's.
    """
    where = f"data set '{encoding.name}', split '{split}'"
    if skipped := len(table) - len(encoded):
        path = write_bad_rows(encoding.skipped(table, encoded, split), folder, encoding.name, split)
        _LOG.warning(f"{where}: skipped {skipped:,} of {len(table):,} rows, which are bad; they and why are in {path}")
    _report_cut(encoding, table, encoded, split)
    _report_notes(encoding, table, encoded, split)
    if split == "train":
        _report_unlabelled(encoding, encoded, where)
    else:
        _report_unknown(encoding, table, encoded, split)
    found = integers(encoded, [f"irregular/{task}" for task in encoding.tasks])
    for task in encoding.tasks:
        if (counts := found[f"irregular/{task}"]).any():
            first = _first(encoding, table, encoded, split, counts)
            irregular = encoding.tasks[task].irregular
            _LOG.warning(f"{where}, task '{task}': {counts.sum():,} {irregular}; the first in {first}")


def report_inputs(encoding: Encoding, table: Dataset, encoded: Dataset, refused: Mapping[int, str]) -> None:
    """Logs a warning of inputs that cannot be predicted on, and of those that are cut off.

    Args:
        encoding: Of the inputs.
        table: Raw columns.
        encoded: What they were encoded to.
        refused: By row, why it was not.
    """
    if refused:
        first = min(refused)
        where = encoding.source.where(table, "predict", first)
        _LOG.warning(
            f"{len(refused):,} of {len(table):,} inputs cannot be predicted on; the output has `null` and the `reason` "
            f"in their place; the first: {where}: {refused[first]}"
        )
    if len(encoded):
        _report_cut(encoding, table, encoded, "predict")
        _report_notes(encoding, table, encoded, "predict")
        _report_unknown(encoding, table, encoded, "predict")


def _report_cut(encoding: Encoding, table: Dataset, encoded: Dataset, split: str) -> None:
    where = f"data set '{encoding.name}', split '{split}'"
    lost = integers(encoded, ["lost"])["lost"]
    if cut := np.count_nonzero(lost):
        limit = getattr(encoding.processor, "max_length", None)
        unit = "words" if "inputs/num_words" in encoded.column_names else "tokens"
        unit += ", with their labels," if any(task.level == "tokens" for task in encoding.tasks.values()) else ""
        _LOG.warning(
            f"{where}: {cut:,} of {len(encoded):,} examples are longer than the encoder's {limit} tokens; "
            f"{lost.sum():,} {unit} are cut off (`model.encoder.max_length`); "
            f"the first: {_first(encoding, table, encoded, split, lost)}"
        )


def _report_notes(encoding: Encoding, table: Dataset, encoded: Dataset, split: str) -> None:
    if "note" not in encoded.column_names:
        return
    notes = np.array(encoded["note"])
    for note in sorted(set(notes) - {""}):
        of_it = notes == note
        _LOG.warning(
            f"data set '{encoding.name}', split '{split}': {of_it.sum():,} of {len(encoded):,} examples {note}; "
            f"the first: {_first(encoding, table, encoded, split, of_it)}"
        )


def _report_unlabelled(encoding: Encoding, encoded: Dataset, where: str) -> None:
    found = integers(encoded, [f"counts/{task}" for task in encoding.tasks]) if len(encoded) else {}
    for task in (name.removeprefix("counts/") for name, counts in found.items() if not counts.any()):
        _LOG.warning(
            f"{where}, task '{task}': no example has a label, so that it learns nothing here; correct the column in "
            f"data.datasets.{encoding.name}.labels, or take it out"
        )


def _report_unknown(encoding: Encoding, table: Dataset, encoded: Dataset, split: str) -> None:
    names = [f"inputs/{name}" for name in encoding.processor.looked_up if f"inputs/{name}" in encoded.column_names]
    if not names:
        return
    arrow = encoded.select_columns(names).with_format("arrow")
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for start in range(0, len(encoded), _AT_A_TIME):
        rows = read_rows(arrow, range(start, min(start + _AT_A_TIME, len(encoded))))
        for of, unknown in encoding.processor.unknown(with_prefix("inputs/", rows)).items():
            found.setdefault(of, []).append(unknown)
    for (name, part), parts in found.items():
        if (unknown := np.concatenate(parts)).any():
            columns = encoding.source.inputs[name]
            column = columns if isinstance(columns, str) else columns[part]
            _LOG.warning(
                f"data set '{encoding.name}', split '{split}', column '{column}': {unknown.sum():,} of "
                f"{len(encoded):,} values are categories that the model did not learn; the first: "
                f"{_first(encoding, table, encoded, split, unknown)}"
            )


def without_notes(encoded: Dataset) -> Dataset:
    """An encoded table without the columns that training does not read."""
    return encoded.remove_columns(
        [n for n in encoded.column_names if n in ("lost", "note") or n.startswith("irregular/")]
    )


def _first(encoding: Encoding, table: Dataset, encoded: Dataset, split: str, counts: np.ndarray) -> str:
    """Where the first example with a count came from."""
    return encoding.source.where(table, split, int(encoded[int(np.flatnonzero(counts)[0])]["row"]))
