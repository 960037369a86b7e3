"""Small encoders of tables that have seen their training data."""

from typing import Any

from mtl_lightning.encoders import TableCrossNetwork, TableFactorizationMachine, TablePerceptron, TableTransformer
from mtl_lightning.encoders.tables.base import TableEncoder
from mtl_lightning.inputs.column_statistics import CountedColumn

KINDS: dict[str, dict[str, Any]] = {
    "TablePerceptron": {"hidden": [6, 5], "embedding": 3},
    "TableCrossNetwork": {"width": 6, "hidden": [5]},
    "TableFactorizationMachine": {"factors": 2, "wide": 3, "hidden": [5]},
    "TableTransformer": {"width": 8, "num_heads": 2, "num_layers": 2},
}
CLASSES = {
    kind.__name__: kind for kind in (TablePerceptron, TableCrossNetwork, TableFactorizationMachine, TableTransformer)
}
ROWS = {"numeric": [(1.0, None), (2.0, 5.0), (4.0, 6.0)], "categorical": [("a", 1), ("b", 2), (None, 9)]}


def complete(name: str) -> TableEncoder:
    encoder: TableEncoder = CLASSES[name](**KINDS[name])
    columns = {
        key: [CountedColumn(column, [1] * 3) for column in zip(*rows, strict=True)] for key, rows in ROWS.items()
    }
    encoder.learn([columns])
    encoder.complete()
    return encoder
