"""The simulator behind the recipe of the feed's log."""

import numpy as np
import pytest

from experiments.data.recipes import feedlog
from experiments.data.recipes.feedlog import LABELS, Log, simulate


@pytest.fixture(scope="module")
def log() -> Log:
    return simulate(impressions=8000)


def test_the_file_has_an_impression_a_row_in_the_order_of_time(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedlog, "simulate", lambda: simulate(impressions=20))
    ((name, data),) = feedlog.convert()
    header, *rows = (line.split("\t") for line in data.decode().splitlines())
    assert name in feedlog.RECIPE.files and header == list(log.columns)
    assert [row[0] for row in rows] == ["train"] * 14 + ["dev"] * 2 + ["test"] * 4
    assert all(len(row) == len(header) and set(row[-5:-1]) <= {"0", "1"} for row in rows)


def test_each_step_needs_the_one_before(log: Log) -> None:
    click, cart, buy, like = (log.columns[name].astype(bool) for name in LABELS)
    assert (cart <= click).all() and (buy <= cart).all() and (like <= click).all()
    assert ((log.columns["watch"] > 0) == click).all() and log.columns["watch"].max() < 1


def test_labels_follow_their_chances(log: Log) -> None:
    for name in LABELS:
        chances = log.chances[name]
        error = (log.columns[name] - chances).sum() / np.sqrt((chances * (1 - chances)).sum())
        assert abs(error) < 4, name
    assert log.auc()["click"] > 0.7 and log.auc("train").keys() == {*LABELS}


def test_clicks_are_a_biased_sample_of_what_sells(log: Log) -> None:
    click, cart = log.columns["click"] == 1, log.chances["cart_given_click"]
    assert cart[click].mean() < 0.85 * cart.mean()


def test_users_and_items_keep_what_is_known_of_them(log: Log) -> None:
    for key, names in (("user", ("age", "city", "device")), ("item", ("category", "brand", "price_decile"))):
        for name in names:
            assert len({*zip(log.columns[key], log.columns[name], strict=True)}) == len({*log.columns[key]})


def test_a_seed_gives_the_same_log_and_another_one_another() -> None:
    first, again, other = (simulate(seed, 50).columns["watch"].tolist() for seed in (1, 1, 2))
    assert first == again != other
