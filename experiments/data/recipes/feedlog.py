"""A feed's log, SIMULATED: what becomes of each impression. There is no real user in it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from experiments.data.recipe import Recipe
from experiments.data.tables import tsv

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]

LABELS = ("click", "cart", "buy", "like")
SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}
"""Of the impressions, in the order of time."""
NUM_USERS, NUM_ITEMS, NUM_IMPRESSIONS = 1500, 600, 120_000
USER_CODES = {"age": 6, "city": 12, "device": 3}
ITEM_CODES = {"category": 15, "brand": 60}
WIDTH = 4
"""Of the hidden tastes of users and the hidden traits of items."""
RHO = -0.3
"""Correlation of what sells with what draws clicks, over pairs of a user and an item."""
CANDIDATES = 4
"""Of which the logging policy shows one, rather the one that the user is likely to click."""


class Log(NamedTuple):
    """Impressions in the order of time.

    Attributes:
        columns: What is known of each, and what became of it, by name [N].
        chances: True probability of each label, and of ``cart`` given a click as ``cart_given_click`` [N].
    """

    columns: Mapping[str, NDArray[np.generic]]
    chances: Mapping[str, Numbers]

    def auc(self, split: str = "test") -> dict[str, float]:
        """The area under the ROC curve of the true probabilities, by label: what no model exceeds but by luck.

        Args:
            split: Over whose impressions.
        """
        from sklearn.metrics import roc_auc_score

        rows = self.columns["split"] == split
        return {name: float(roc_auc_score(self.columns[name][rows], self.chances[name][rows])) for name in LABELS}


def simulate(seed: int = 7, impressions: int = NUM_IMPRESSIONS) -> Log:
    """Shows items to users, and lets them click, put into the cart, buy, like and watch.

    A user's chance to click an item is the logistic function of a sum: a base rate, how well the user's hidden tastes
    suit the item's hidden traits, how active the user is, how attractive the item is, the position in the feed and the
    hour. Tastes and traits are in part those of the age, the city, the category and so on. The chances of the cart,
    given a click, of buying, given the cart, and of a like, given a click, are such sums of tastes of their own.

    The sample is biased by design: the logging policy shows what a user is likely to click, and pairs that click more
    sell worse (``RHO``), so that the cart is likelier over all impressions, had they been clicked, than among clicks.

    Args:
        seed: Of all random numbers.
        impressions: How many.
    """
    draw = np.random.default_rng(seed)
    users, items = _codes(draw, NUM_USERS, USER_CODES), _codes(draw, NUM_ITEMS, ITEM_CODES)
    price = draw.normal(size=NUM_ITEMS)
    items["price_decile"] = np.clip(np.floor(price / 0.52 + 5), 0, 9).astype(np.intp)
    draws, sells, pleases = (_affinity(draw, users, items) for _ in range(3))
    sells = RHO * draws + (1 - RHO**2) ** 0.5 * sells
    user, item = _shown(draw, draws, impressions)
    position, hour = draw.integers(10, size=impressions), draw.integers(24, size=impressions)
    pull, sale, joy = draws[user, item], sells[user, item], pleases[user, item]
    steps = {
        "click": _logistic(-2.22 + 1.1 * pull - 0.11 * position + 0.25 * np.sin(hour / 24 * 2 * np.pi)),
        "cart": _logistic(-1.83 + 1.25 * sale),
        "buy": _logistic(-0.42 + 0.85 * sale - 0.6 * price[item]),
        "like": _logistic(-1.25 + 1.6 * joy),
    }
    found = {name: draw.random(impressions) < chance for name, chance in steps.items()}
    found["cart"] &= found["click"]
    found["buy"] &= found["cart"]
    found["like"] &= found["click"]
    watch = np.where(found["click"], _logistic(0.55 + 0.55 * joy + 0.9 * draw.normal(size=impressions)), 0.0)
    columns = {
        "split": _splits(impressions),
        "user": user,
        "item": item,
        **{name: codes[user] for name, codes in users.items()},
        **{name: codes[item] for name, codes in items.items()},
        "position": position,
        "hour": hour,
        **{name: happened.astype(np.intp) for name, happened in found.items()},
        "watch": watch.round(3),
    }
    click, cart = steps["click"], steps["click"] * steps["cart"]
    chances = {"click": click, "cart": cart, "buy": cart * steps["buy"], "like": click * steps["like"]}
    return Log(columns, {**chances, "cart_given_click": steps["cart"]})


def convert() -> Iterator[tuple[str, bytes]]:
    """An impression a row: its split, what is known of it, and what became of it."""
    columns = simulate().columns
    yield "log.tsv.gz", tsv([*columns], zip(*(map(str, column.tolist()) for column in columns.values()), strict=True))


def _codes(draw: Generator, number: int, sizes: Mapping[str, int]) -> dict[str, Codes]:
    return {name: draw.integers(size, size=number) for name, size in sizes.items()}


def _affinity(draw: Generator, users: Mapping[str, Codes], items: Mapping[str, Codes]) -> Numbers:
    """How well each item suits each user [users, items]; mean 0 and standard deviation 1."""
    tastes, traits = _hidden(draw, users, NUM_USERS), _hidden(draw, items, NUM_ITEMS)
    activity, attraction = (hidden @ draw.normal(size=WIDTH) for hidden in (tastes, traits))
    found = 0.75 * _standard(tastes @ traits.T) + 0.4 * _standard(activity)[:, None] + 0.55 * _standard(attraction)
    return _standard(found)


def _hidden(draw: Generator, codes: Mapping[str, Codes], number: int) -> Numbers:
    """Tastes or traits: a part of each code's, and a part that is nobody else's."""
    own = draw.normal(size=(number, WIDTH))
    common = sum(draw.normal(size=(column.max() + 1, WIDTH))[column] for column in codes.values())
    hidden: Numbers = 0.6 * own + 0.8 * common / len(codes) ** 0.5
    return hidden


def _shown(draw: Generator, affinity: Numbers, impressions: int) -> tuple[Codes, Codes]:
    """User and item of each impression: of some candidates, the one that suits the user best, but for some noise."""
    user = draw.integers(NUM_USERS, size=impressions)
    candidates = draw.integers(NUM_ITEMS, size=(impressions, CANDIDATES))
    wanted = 0.7 * affinity[user[:, None], candidates] + draw.gumbel(size=candidates.shape)
    return user, candidates[np.arange(impressions), wanted.argmax(1)]


def _splits(impressions: int) -> NDArray[np.str_]:
    sizes = [round(share * impressions) for share in SHARES.values()]
    return np.repeat([*SHARES], sizes)


def _standard(values: Numbers) -> Numbers:
    standard: Numbers = (values - values.mean()) / values.std()
    return standard


def _logistic(values: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-values))


RECIPE = Recipe(
    name="feedlog",
    about=(
        "120,000 impressions of a feed, SIMULATED by the recipe: no figure on it is one on real users. Click (16,188), "
        "cart (2,154), buy (1,003), like (4,355), and the share that was watched."
    ),
    licence="ours, Apache-2.0",
    citation="nothing; say that the data is simulated",
    sources=(),
    convert=convert,
    files={"log.tsv.gz": "b9e9fe08273dc5c8510493a3bbb8d1e252373cbcc480a1840a58ad6b3627870a"},
    size=1_320_557,
)
