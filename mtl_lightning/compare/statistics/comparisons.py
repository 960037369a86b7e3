"""The families of paired tests that a report shows."""

from itertools import combinations

import numpy as np
import pandas as pd

from mtl_lightning.compare.statistics.overall import Overall
from mtl_lightning.compare.statistics.paired_test import holm, paired_test, verdict
from mtl_lightning.compare.statistics.score_table import ScoreTable

FAMILIES = {
    "reference": "each against the reference",
    "pairs": "pairs",
    "tasks": "each against the reference by task",
}
"""Which tests are corrected together, and what a note calls them."""


def comparisons(table: ScoreTable, overall: Overall, reference: str) -> pd.DataFrame:
    """Tests of three families, each corrected by Holm's method for the number of its tests.

    So the chance of a false claim is 5 % for each family, not for all three together: simulated with eight contestants
    that do not differ, 5 % of reports have one in a given family, 12 % in any.

    Args:
        table: The scores.
        overall: What contestants are compared by in ``reference`` and ``pairs``.
        reference: The contestant that the others are compared with in ``reference`` and ``tasks``; where it is not
            among them, these families are empty.

    Returns:
        The ``tests`` of :class:`~mtl_lightning.compare.statistics.summary.Summary`. Differences of the family
        ``tasks`` are in the metric's unit, turned so that positive is better.
    """
    names = table.contestants
    others = [name for name in names if name != reference] if reference in names else []
    mains = [int(position) for position in np.flatnonzero(table.main)]
    rows = [("reference", name, reference, -1) for name in others]
    rows += [("pairs", first, second, -1) for first, second in combinations(names, 2)]
    rows += [("tasks", name, reference, metric) for name in others for metric in mains]
    tests = pd.DataFrame(rows, columns=["family", "first", "second", "position"])
    tests["task"] = ["" if position < 0 else table.tasks[position] for position in tests["position"]]
    tests["metric"] = ["" if position < 0 else table.metrics[position] for position in tests["position"]]
    return _tested(tests, table, overall)


def _tested(tests: pd.DataFrame, table: ScoreTable, overall: Overall) -> pd.DataFrame:
    # The overall score comes last, where position -1 finds it.
    scores = np.concatenate([table.values * table.sign, overall.values[:, :, None]], axis=2)
    place = pd.Index(table.contestants)
    position = tests["position"].to_numpy(dtype=int)
    first, second = (scores[place.get_indexer(tests[side]), :, position] for side in ("first", "second"))
    result = paired_test(first, second, table.overlap)
    for column, values in vars(result).items():
        tests[column] = values
    p, family = result.p, tests["family"].to_numpy()
    corrected = np.concatenate([holm(p[family == name]) for name in FAMILIES])  # rows are in the order of the families
    tests.insert(tests.columns.get_loc("p") + 1, "p_corrected", corrected)
    tests["verdict"] = [verdict(*row) for row in zip(tests["difference"], tests["p_corrected"], strict=True)]
    return tests.drop(columns="position")
