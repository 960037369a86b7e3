"""What contestants predicted of pixels: a picture a task and contestant."""

from pathlib import Path
from typing import TYPE_CHECKING

from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CONTESTANTS = 6
_WIDTH = 2.4
"""Of a picture, in inches."""


def grids(material: Material) -> "tuple[Figure, str]":
    """The newest grids of the first seed that has finished; contestants beside each other, tasks below each other."""
    from matplotlib.image import imread

    found = material.evidence.grids
    found = found[[Path(path).is_file() for path in found["path"]]] if len(found) else found
    if found.empty:
        raise NothingToShowError
    found = found[found["seed"] == found.groupby("contestant")["seed"].transform("min")]
    there = [name for name in material.evidence.contestants if (found["contestant"] == name).any()]
    names = sorted(there, key=lambda name: not material.looks[name].strong)[:MOST_CONTESTANTS]
    tasks = [task for task in material.evidence.tasks if (found["task"] == task).any()]
    pictures = {(each.contestant, each.task): imread(each.path) for each in found.itertuples()}
    heights = [
        max(p.shape[0] / p.shape[1] for (_, of), p in pictures.items() if of == task) * _WIDTH + 0.1 for task in tasks
    ]
    figure = new_figure(0.4 + len(names) * (_WIDTH + 0.1), 0.3 + sum(heights))
    axes = figure.subplots(len(tasks), len(names), squeeze=False, height_ratios=heights)
    for row, task in zip(axes, tasks, strict=True):
        for panel, name in zip(row, names, strict=True):
            panel.set_xticks([])
            panel.set_yticks([])
            for spine in panel.spines.values():
                spine.set_visible(False)
            if (name, task) in pictures:
                panel.imshow(pictures[name, task], interpolation="none")
        row[0].set_ylabel(short(task))
    for panel, name in zip(axes[0], names, strict=True):
        panel.set_title(material.looks[name].label, loc="left")
    left = f" Shown are {len(names)} of {len(there)} contestants." if len(names) < len(there) else ""
    return figure, (
        "The first validation images at the end of training, with the first seed: what the model reads, the label, and "
        f"the prediction. Pixels without a label are white in it.{left}"
    )
