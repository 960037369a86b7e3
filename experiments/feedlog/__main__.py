"""Sharings, weightings and chains on a simulated feed: ``python -m experiments.feedlog``.

Prints what logistic regressions reach, and what the true probabilities do where the log is the recipe's; then
compares, as ``python -m mtl_lightning compare --plan experiments/feedlog/plan.yaml`` does, and takes its flags.
"""

import sys
from collections.abc import Sequence

from experiments.data.place import data_folder
from experiments.data.recipes.feedlog import LABELS
from experiments.feedlog.floors import Floors, floors
from mtl_lightning.__main__ import main as mtl
from mtl_lightning.terminal import say

PLAN = "experiments/feedlog/plan.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the floors, then compares; the exit status of ``compare``."""
    say(table(floors(data_folder() / "feedlog" / "log.tsv.gz")))
    return mtl(["compare", "--plan", PLAN, *(sys.argv[1:] if arguments is None else arguments)])


def table(found: Floors) -> str:
    """The floors in Markdown."""
    rows = [
        ("logistic regression", found.auc, found.conversion),
        ("the same, a click weighing 1 / p(click)", {}, found.weighted),
    ]
    if found.best_auc is not None and found.best_conversion is not None:
        rows.append(("the true probabilities", found.best_auc, found.best_conversion))
    head = ["SIMULATED data, test split", *(f"AUC {name}" for name in LABELS), "mean p(cart given click)", "of clicks"]
    lines = [head, ["---"] * len(head)]
    for name, auc, conversion in rows:
        lines.append(
            [
                name,
                *(f"{auc[label]:.3f}" if label in auc else "" for label in LABELS),
                *(f"{mean:.3f}" for mean in conversion),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
