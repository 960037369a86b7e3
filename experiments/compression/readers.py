"""Whatever predicts, on one thread; without torch where there is no checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_lightning.exported import ExportedModel

Inputs = Mapping[str, Sequence[Any]]
Predictions = list[dict[str, Any]]
Reader = Callable[[Inputs], Predictions]


def reader(paths: Sequence[Path]) -> Reader:
    """From raw inputs to predictions of all tasks.

    Args:
        paths: One checkpoint, or folders of ONNX, each of which is asked.
    """
    if paths[0].suffix == ".ckpt":
        import torch

        import mtl_lightning

        torch.set_num_threads(1)
        return mtl_lightning.load(paths[0]).predict
    models = [ExportedModel(path, threads=1) for path in paths]

    def together(inputs: Inputs) -> Predictions:
        found = zip(*(model.predict(inputs) for model in models), strict=True)
        return [{task: each for row in rows for task, each in row.items()} for rows in found]

    return together
