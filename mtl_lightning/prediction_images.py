"""Predictions that are images, in files of their own."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mtl_lightning.decoding.pixels import Drawn
from mtl_lightning.errors import UserError
from mtl_lightning.png import distinct_colours, png
from mtl_lightning.writing import writing

Drawing = Callable[[dict[str, Any]], Drawn]
"""Makes an image of a prediction."""


class PredictionImages:
    """Writes predictions that are images as PNG files ``FOLDER/TASK/ROW.png``.

    Args:
        folder: Where to.
        tasks: Names of those that are predicted.
        drawing: What draws a prediction, by name of the tasks that predict images.

    Raises:
        UserError: If none of them predicts images, or the folder cannot be made.
    """

    def __init__(self, folder: str, tasks: Iterable[str], drawing: Mapping[str, Drawing]) -> None:
        self.folder, self._drawing = Path(folder), drawing
        if not self._drawing:
            raise UserError(f"--images: none of the tasks {', '.join(tasks)} predicts images; leave it out")
        for name in self._drawing:
            with writing(self.folder, "--images"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)

    def kept(self, row: int, predicted: Mapping[str, Any]) -> dict[str, Any]:
        """A prediction with the paths of its images in place of their numbers.

        Args:
            row: Number of the input.
            predicted: By task.
        """
        return {name: self._kept(row, name, each) for name, each in predicted.items()}

    def _kept(self, row: int, name: str, predicted: dict[str, Any]) -> dict[str, Any]:
        if name not in self._drawing:
            return predicted
        key, pixels, numbered = self._drawing[name](predicted)
        path = self.folder / name / f"{row + 1:06}.png"
        with writing(path, "--images"):
            path.write_bytes(png(pixels, distinct_colours() if numbered else None))
        return {**predicted, key: str(path)}
