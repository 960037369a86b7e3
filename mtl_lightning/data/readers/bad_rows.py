"""What becomes of rows that cannot be understood."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from datasets import Dataset

from mtl_lightning.rows.bad_lines import BAD, LINE
from mtl_lightning.terminal import printable_json
from mtl_lightning.writing import replacing

OnBadRow = Literal["error", "skip"]
"""What happens to a row that cannot be understood."""

REMEDY = "fix it, or leave such rows out with `on_bad_row: skip`"


class BadRow(NamedTuple):
    """A row that was left out.

    Attributes:
        where: File and line, or split and row.
        reason: What is wrong with it.
        row: What it holds: the text of a line, or values by column.
    """

    where: str
    reason: str
    row: Any


def visible(table: Dataset) -> list[str]:
    """Names of the columns that are the data's own."""
    return [name for name in table.column_names if name not in (LINE, BAD)]


def write_bad_rows(rows: Iterable[BadRow], folder: str, dataset: str, split: str) -> Path:
    """Writes a JSON line for each row, to ``skipped_rows/<data set>-<split>.jsonl``.

    Args:
        rows: What was left out.
        folder: The run's.
        dataset: Name of the data set.
        split: Name of the split.

    Returns:
        The path of the file, which appears only when it is complete.
    """
    name = re.sub(r"[^-.\w]", "_", dataset)
    if name != dataset:  # 'a b' and 'a/b' have a file each
        name += f"-{hashlib.sha256(dataset.encode()).hexdigest()[:6]}"
    path = Path(folder, "skipped_rows", f"{name}-{split}.jsonl")
    with (
        replacing(path) as unfinished,
        open(unfinished, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for row in rows:
            file.write(printable_json(json.dumps(row._asdict(), ensure_ascii=False, default=str)) + "\n")
    return path
