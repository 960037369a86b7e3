"""What a logistic regression reaches on the log of the feed, and what the true probabilities do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from experiments.data.contents import content_sha256
from experiments.data.recipes.feedlog import LABELS, RECIPE, Log, simulate

INPUTS = ("user", "item", "age", "city", "device", "category", "brand", "price_decile", "position", "hour")
PENALTIES = (0.1, 0.3, 1.0)
"""Inverses of the strength of ridge regression, of which the best on the dev split is taken."""

Numbers = NDArray[np.float64]


class Floors(NamedTuple):
    """On the test split.

    Attributes:
        auc: Of a logistic regression on one-hot columns, by label.
        conversion: Mean p(cart given click) of one that saw clicks alone, over all impressions, and over clicks.
        weighted: The same of one to which a click counts 1 / p(click), as the first regression has it (Zhang et al.
            2020, "Large-scale Causal Approaches to Debiasing Post-click Conversion Rate Estimation", equation 8).
        best_auc: Of the true probabilities, by label; null where the log is not the recipe's.
        best_conversion: The same two means of the true probability.
    """

    auc: Mapping[str, float]
    conversion: tuple[float, float]
    weighted: tuple[float, float]
    best_auc: Mapping[str, float] | None
    best_conversion: tuple[float, float] | None


def floors(file: Path) -> Floors:
    """Trains the logistic regressions, which takes a minute.

    Args:
        file: ``log.tsv.gz``, of the recipe or of the same columns.
    """
    log = pd.read_csv(file, sep="\t")
    columns = OneHotEncoder(handle_unknown="ignore").fit_transform(log[[*INPUTS]]).tocsr()
    test, click = log.split.to_numpy() == "test", log.click.to_numpy() == 1
    fitted = {name: _fitted(columns, log, name) for name in LABELS}
    auc = {name: float(roc_auc_score(log[name][test], fitted[name][test])) for name in LABELS}

    def means(chance: Numbers) -> tuple[float, float]:
        return float(chance[test].mean()), float(chance[test & click].mean())

    found = means(_fitted(columns, log, "cart", click))
    weighted = means(_fitted(columns, log, "cart", click, 1 / fitted["click"]))
    truth = _truth(file)
    if truth is None:
        return Floors(auc, found, weighted, None, None)
    return Floors(auc, found, weighted, truth.auc(), means(truth.chances["cart_given_click"]))


def _fitted(
    columns: Any,
    log: pd.DataFrame,
    label: str,
    some: NDArray[np.bool_] | None = None,
    weights: Numbers | None = None,
) -> Numbers:
    """Probabilities [N] of a regression that is trained on the training split, or some of its rows, weighted or not."""
    train, dev = (log.split.to_numpy() == split for split in ("train", "dev"))
    if some is not None:
        train, dev = train & some, dev & some
    weight = None if weights is None else weights[train] / weights[train].mean()
    found = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=300).fit(columns[train], log[label][train], sample_weight=weight)
        probabilities = model.predict_proba(columns)[:, 1]
        found.append((roc_auc_score(log[label][dev], probabilities[dev]), probabilities))
    best: Numbers = max(found, key=lambda each: each[0])[1]
    return best


def _truth(file: Path) -> Log | None:
    """The true probabilities, which the simulator knows of its own log alone."""
    return simulate() if content_sha256(file.name, file.read_bytes()) == RECIPE.files["log.tsv.gz"] else None
