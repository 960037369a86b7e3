"""Tables and streams with columns that their files do not have."""

from typing import Any

from datasets import Dataset, IterableDataset

from mtl_lightning.data.readers.constants import with_constants
from mtl_lightning.data.readers.templates import with_templates
from mtl_lightning.rows.made_columns import MadeColumns


def with_made(table: Dataset | IterableDataset, made: MadeColumns, path: str) -> Any:
    """A table, or a stream, with further columns: constants first, of which templates may speak.

    Args:
        table: What a file holds.
        made: The columns.
        path: Of the file, for messages.

    Raises:
        UserError: If there is such a column already, or a template names one that is not there.
    """
    return with_templates(with_constants(table, made.constants, path), made.templates, path)
