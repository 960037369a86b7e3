"""Schedules: shares, apportionment, lengths of epochs, purity, and what the user reads when an argument is wrong."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import accumulate, chain
from math import ceil, inf, nan
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning.__main__ import main
from mtl_lightning.data.schedules import (
    Alternating,
    Annealed,
    EpochLength,
    FixedProbabilities,
    LearningProgress,
    Moment,
    Proportional,
    RoundRobin,
    Schedule,
    Score,
    Temperature,
    Uniform,
    ValidationDriven,
)
from mtl_lightning.data.schedules.apportionment import apportioned, exact_shares
from mtl_lightning.errors import UserError

NAMES = ["first", "second", "third", "fourth"]
sizes = st.lists(st.integers(1, 60), min_size=1, max_size=4).map(lambda found: dict(zip(NAMES, found, strict=False)))
shares = st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any)
lengths: Any = st.sampled_from(["longest", "shortest", "sum"]) | st.integers(1, 100)


def drawn(schedule: Schedule, num_batches: Mapping[str, int], moment: Moment | None = None) -> Counter[str]:
    """How many batches of each data set an epoch holds."""
    return Counter(chain.from_iterable(schedule.steps(num_batches, moment or Moment(seed=0, epoch=0))))


def schedules(epoch_length: EpochLength, batches_per_step: int) -> dict[Schedule, list[int]]:
    """Schedules that take any epoch length, with the ratio of the shares of data sets a of 4 and b of 9 batches."""
    arguments: Any = {"batches_per_step": batches_per_step, "epoch_length": epoch_length}
    return {
        Proportional(**arguments): [4, 9],
        Uniform(**arguments): [1, 1],
        Temperature(0.5, **arguments): [2, 3],
        Temperature(0.0, **arguments): [1, 1],
        Temperature(1.0, **arguments): [4, 9],
        FixedProbabilities({"a": 3, "b": 7}, **arguments): [3, 7],
        FixedProbabilities({"a": 0.3, "b": 0.7}, **arguments): [3, 7],
    }


# -- apportionment -----------------------------------------------------------------------------------------------------
@given(shares, st.integers(0, 200), st.integers(0, 9), st.integers(0, 10**6))
def test_draws_are_shares_rounded_down_or_up(weights: list[int], num_draws: int, seed: int, epoch: int) -> None:
    found = apportioned([Fraction(w, sum(weights)) for w in weights], num_draws, seed, epoch)
    assert sum(found) == num_draws
    for weight, count in zip(weights, found, strict=True):
        assert abs(count - Fraction(weight * num_draws, sum(weights))) < 1


@given(shares, st.integers(1, 7), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_rounding_evens_out_over_epochs(weights: list[int], num_draws: int, seed: int) -> None:
    parts = [Fraction(w, sum(weights)) for w in weights]
    epochs = [apportioned(parts, num_draws, seed, epoch) for epoch in range(200)]
    for part, counts in zip(parts, zip(*epochs, strict=True), strict=True):
        totals = enumerate(accumulate(counts), start=1)
        assert max(abs(total - part * num_draws * number) for number, total in totals) < 3


@given(st.integers(1, 50), st.integers(0, 9), st.integers(0, 1000))
def test_a_tiny_data_set_does_not_starve(weight: int, seed: int, start: int) -> None:
    remainder = Fraction(weight, 100)
    window = ceil(2 / remainder)
    counts = [apportioned([remainder, 1 - remainder], 1, seed, start + epoch)[0] for epoch in range(window)]
    assert sum(counts) > 0


def test_rounding_starts_elsewhere_with_another_seed() -> None:
    assert len({tuple(apportioned([Fraction(1, 3)] * 3, 4, seed, 0)) for seed in range(10)}) == 3


def test_shares_are_those_that_one_reads() -> None:
    assert exact_shares({"a": 0.1, "b": 0.2}) == {"a": Fraction(1, 3), "b": Fraction(2, 3)}
    assert exact_shares({"a": 1e-20, "b": 3e-20}) == {"a": Fraction(1, 4), "b": Fraction(3, 4)}


# -- lengths of epochs -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batches_per_step", [1, 2, 5])
@pytest.mark.parametrize("epoch_length", ["longest", "shortest", "sum", 7])
def test_one_rule_for_the_length_of_an_epoch(epoch_length: EpochLength, batches_per_step: int) -> None:
    """The least number of steps in which, by their shares, all (or one) of the data sets have been seen once."""
    num_batches = {"a": 4, "b": 9}
    for schedule, weights in schedules(epoch_length, batches_per_step).items():
        found = schedule.num_steps(num_batches)
        steps = [
            next(n for n in range(1, 100) if Fraction(weight, sum(weights)) * n * batches_per_step >= size)
            for weight, size in zip(weights, num_batches.values(), strict=True)
        ]
        expected = {"longest": max(steps), "shortest": min(steps), "sum": ceil(13 / batches_per_step), 7: 7}
        assert found == expected[epoch_length], vars(schedule)
        counts = drawn(schedule, num_batches)
        assert epoch_length != "longest" or all(counts[name] >= size for name, size in num_batches.items())
        assert epoch_length != "shortest" or any(counts[name] >= size for name, size in num_batches.items())


@given(sizes, lengths, st.integers(1, 6), st.integers(0, 5))
@settings(deadline=None)
def test_an_epoch_has_as_many_steps_as_it_says(
    num_batches: dict[str, int], epoch_length: Any, batches_per_step: int, epoch: int
) -> None:
    arguments: Any = {"batches_per_step": batches_per_step, "epoch_length": epoch_length}
    moment = Moment(3, epoch, 4, {"first": [Score("task", 0.3, 0.5)]})
    weights = {name: 0.1 * (number + 1) for number, name in enumerate(num_batches)}
    sampled = [Proportional(**arguments), Temperature(0.7, **arguments), FixedProbabilities(weights, **arguments)]
    if epoch_length not in ("longest", "shortest"):
        sampled += [Annealed(**arguments), ValidationDriven(**arguments)]
    for schedule in sampled:
        steps = list(schedule.steps(num_batches, moment))
        assert len(steps) == schedule.num_steps(num_batches)
        assert {len(step) for step in steps} == {batches_per_step}


@given(sizes, st.integers(1, 9))
def test_round_robin_and_alternating_count_turns(num_batches: dict[str, int], number: int) -> None:
    found = list(num_batches.values())
    turns = {"longest": max(found), "shortest": min(found)}
    for epoch_length, expected in turns.items():
        rule: Any = epoch_length
        assert RoundRobin(rule).num_steps(num_batches) == expected
        assert Alternating(rule).num_steps(num_batches) == expected * len(found)
        for schedule in (RoundRobin(rule), Alternating(rule)):
            assert set(drawn(schedule, num_batches).values()) == {expected}
    assert RoundRobin("sum").num_steps(num_batches) == ceil(sum(found) / len(found))
    assert Alternating("sum").num_steps(num_batches) == sum(found)
    assert RoundRobin(number).num_steps(num_batches) == Alternating(number).num_steps(num_batches) == number


def test_alternating_goes_on_with_a_turn_that_an_epoch_broke_off() -> None:
    moments = [Moment(seed=0, epoch=epoch) for epoch in range(3)]
    found = [step for moment in moments for step in Alternating(4).steps({"a": 1, "b": 5, "c": 2}, moment)]
    assert found == [("a",), ("b",), ("c",)] * 4


def test_no_epoch_waits_for_a_data_set_that_is_never_drawn() -> None:
    probabilities, num_batches = {"a": 1.0, "b": 1.0, "never": 0.0}, {"a": 3, "b": 8, "never": 1000}
    for epoch_length, expected in (("longest", 16), ("shortest", 6)):
        rule: Any = epoch_length
        schedule = FixedProbabilities(probabilities, epoch_length=rule)
        assert schedule.num_steps(num_batches) == expected
        assert drawn(schedule, num_batches)["never"] == 0


# -- shares ------------------------------------------------------------------------------------------------------------
@given(sizes, st.integers(0, 5))
def test_proportional_sees_everything_once(num_batches: dict[str, int], epoch: int) -> None:
    for length in ("longest", "shortest", "sum"):
        rule: Any = length
        assert drawn(Proportional(epoch_length=rule), num_batches, Moment(1, epoch)) == Counter(num_batches)


def test_shares_follow_the_formulas() -> None:
    for schedule, weights in schedules(13 * 10 * 5, 1).items():
        counts = drawn(schedule, {"a": 4, "b": 9})
        assert counts["a"] == pytest.approx(650 * weights[0] / sum(weights), abs=1), vars(schedule)


def test_annealed_goes_from_proportional_to_almost_uniform() -> None:
    """Alpha is 1 - 0.8 (e - 1) / (E - 1) in epoch e of E, from 1."""
    num_batches = {"a": 900, "b": 100}
    for number, alpha in enumerate([1.0, 0.8, 0.6, 0.4, 0.2]):
        counts = drawn(Annealed(), num_batches, Moment(0, number, num_epochs=5))
        assert counts["a"] == pytest.approx(1000 * 9**alpha / (9**alpha + 1), abs=1)
    own = Annealed(start=0.5, end=0.0, over_epochs=2)
    for number, share in enumerate([0.75, 0.5, 0.5]):
        assert drawn(own, num_batches, Moment(0, number, num_epochs=99))["a"] == pytest.approx(1000 * share, abs=1)
    assert drawn(Annealed(), num_batches, Moment(0, 0, num_epochs=1)) == Counter(num_batches)


def test_annealed_needs_an_end() -> None:
    with pytest.raises(UserError, match=r"data\.schedule\.over_epochs: .* set it, or trainer\.max_epochs"):
        list(Annealed().steps({"a": 3}, Moment(0, 0)))


# -- driven by validation ----------------------------------------------------------------------------------------------
def lags(scores: Mapping[str, list[Score]], references: dict[str, float] | None = None) -> list[float]:
    schedule = ValidationDriven(references)
    weights = schedule.weights(dict.fromkeys(scores, 10), Moment(0, 1, None, scores))
    return [weights[name] for name in scores]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (Score("t", 0.6, 0.8), 0.25),
        (Score("t", 0.8, 0.8), 0.05),
        (Score("t", 0.79, 0.8), 0.05),
        (Score("t", 2.0, 1.5, higher_is_better=False), 0.25),
        (Score("t", 1.5, 1.5, higher_is_better=False), 0.05),
        (Score("t", -0.8, -0.6), 0.25),
        (Score("t", -0.6, -0.8, higher_is_better=False), 0.25),
        (Score("t", 0.0, 0.4), 1.0),
        (Score("t", 0.0, 0.0), 0.05),
        (Score("t", -0.4, 0.4), 2.0),
        (Score("t", -1e308, 1e308), 2.0),
    ],
)
def test_lag_of_a_task(score: Score, expected: float) -> None:
    assert lags({"a": [score]}) == pytest.approx([expected])


def test_a_reference_takes_the_place_of_the_best_score() -> None:
    scores = {"a": [Score("intent", 0.6, 0.6)], "b": [Score("error", 2.0, 1.0, higher_is_better=False)]}
    assert lags(scores, {"intent": 0.8, "error": 1.6}) == pytest.approx([0.25, 0.2])
    assert lags(scores, {"intent": 0.5, "error": 3.0}) == [0.05, 0.05]


def test_lag_of_a_data_set_is_the_mean_of_its_tasks() -> None:
    behind, best = Score("t", 0.4, 0.8), Score("u", 0.8, 0.8)
    assert lags({"a": [behind, best], "b": [behind], "c": [best]}) == pytest.approx([0.25, 0.5, 0.05])
    assert lags({"a": [behind, best]}, {"u": 0.1}) == pytest.approx([0.25])  # one ahead of its reference is not behind


@pytest.mark.parametrize(
    "unknown", [[], [Score("u", nan, 0.9)], [Score("u", nan, nan)], [Score("u", inf, 0.9)], [Score("u", 0.9, nan)]]
)
def test_a_data_set_without_a_score_is_as_the_others(unknown: list[Score]) -> None:
    known = {"a": [Score("t", 0.4, 0.8)], "b": [Score("v", 0.6, 0.8)]}
    assert lags({**known, "c": unknown}) == pytest.approx([0.5, 0.25, 0.375])
    assert lags({**known, "c": [*unknown, Score("t", 0.4, 0.8)]})[2] == pytest.approx(0.5)


@pytest.mark.parametrize("scores", [{}, {"a": [], "b": []}, {"a": [Score("t", nan, nan)]}])
def test_before_the_first_score_shares_are_by_size(scores: dict[str, list[Score]]) -> None:
    schedule = ValidationDriven({"t": 0.9})
    assert drawn(schedule, {"a": 30, "b": 10}, Moment(0, 0, None, scores)) == Counter(a=30, b=10)


@given(st.lists(st.tuples(st.floats(), st.floats(), st.booleans()), min_size=1, max_size=4), st.integers(0, 9))
@settings(deadline=None)
def test_no_data_set_starves_whatever_the_scores(found: list[tuple[float, float, bool]], epoch: int) -> None:
    scores = {name: [Score(name, *score)] for name, score in zip(NAMES, found, strict=False)}
    num_batches = dict.fromkeys(scores, 100)
    counts = drawn(ValidationDriven(), num_batches, Moment(0, epoch, None, scores))
    assert sum(counts.values()) == 100 * len(scores)
    assert min(counts[name] for name in scores) >= 2


# -- order -------------------------------------------------------------------------------------------------------------
@given(sizes, lengths, st.integers(1, 4), st.integers(0, 9), st.permutations(range(4)))
@settings(deadline=None, max_examples=40)
def test_an_epoch_does_not_depend_on_what_was_asked_before(
    num_batches: dict[str, int], epoch_length: Any, batches_per_step: int, seed: int, order: list[int]
) -> None:
    def made() -> Schedule:
        return Temperature(0.3, batches_per_step=batches_per_step, epoch_length=epoch_length)

    schedule = made()
    asked = {epoch: list(schedule.steps(num_batches, Moment(seed, epoch))) for epoch in order}
    for epoch in sorted(order):
        assert list(made().steps(num_batches, Moment(seed, epoch))) == asked[epoch]


@pytest.mark.parametrize(
    "schedule",
    [Proportional(), Uniform(), Proportional(batches_per_step=2)],
    ids=["proportional", "uniform", "two a step"],
)
def test_order_is_random_and_another_in_each_epoch_and_with_each_seed(schedule: Schedule) -> None:
    num_batches = {"a": 20, "b": 20}
    orders = [tuple(schedule.steps(num_batches, Moment(seed, epoch))) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert all(list(order) != sorted(order) for order in orders)
    assert all(drawn(schedule, num_batches, Moment(seed, 0)) == Counter(a=20, b=20) for seed in (0, 1))


def test_a_rare_data_set_comes_anywhere_in_the_epoch() -> None:
    num_batches = {"rare": 1, "common": 49}
    places = [list(Proportional().steps(num_batches, Moment(0, epoch))).index(("rare",)) for epoch in range(200)]
    assert sum(places) / len(places) == pytest.approx(24.5, abs=4)
    assert len(set(places)) > 40


def test_several_batches_of_a_step_may_be_of_one_data_set_or_of_many() -> None:
    steps = list(Proportional(batches_per_step=2).steps({"a": 50, "b": 50}, Moment(0, 0)))
    assert {frozenset(step) for step in steps} == {frozenset("a"), frozenset("b"), frozenset("ab")}


# -- mistakes ----------------------------------------------------------------------------------------------------------
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no step": (RoundRobin, {"epoch_length": 0}, r"epoch_length must be 'longest', 'shortest', 'sum' or .* found 0"),
    "length": (Alternating, {"epoch_length": "long"}, "data.schedule.epoch_length .* found 'long'"),
    "sampled length": (Uniform, {"epoch_length": -3}, "data.schedule.epoch_length .* found -3"),
    "changing shares": (Annealed, {"epoch_length": "longest"}, "epoch_length must be 'sum' or a number of steps"),
    "changing scores": (ValidationDriven, {"epoch_length": "shortest"}, "epoch_length must be 'sum' or a number"),
    "no batch": (Proportional, {"batches_per_step": 0}, "data.schedule.batches_per_step must be at least 1, found 0"),
    "alpha": (Temperature, {"alpha": 1.5}, r"data.schedule.alpha must be from 0 \(uniform\) to 1 .* found 1.5"),
    "alpha nan": (Temperature, {"alpha": nan}, "data.schedule.alpha .* found nan"),
    "start": (Annealed, {"start": -1}, "data.schedule.start .* found -1"),
    "end": (Annealed, {"end": 2}, "data.schedule.end .* found 2"),
    "epochs": (Annealed, {"over_epochs": 0}, "data.schedule.over_epochs must be at least 1, found 0"),
    "negative": (FixedProbabilities, {"probabilities": {"a": -1}}, "data.schedule.probabilities.a .* found -1"),
    "infinite": (FixedProbabilities, {"probabilities": {"a": inf}}, "data.schedule.probabilities.a .* found inf"),
    "all zero": (FixedProbabilities, {"probabilities": {"a": 0}}, "must have a probability above 0"),
    "no data set": (FixedProbabilities, {"probabilities": {}}, "must have a probability above 0"),
    "reference": (ValidationDriven, {"references": {"a": nan}}, "data.schedule.references.a .* found nan"),
    "floor": (ValidationDriven, {"floor": 0}, "data.schedule.floor must be above 0 and at most 1, found 0"),
}


@pytest.mark.parametrize(("schedule", "arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_argument(schedule: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        schedule(**arguments)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ({"snips": 1, "reviws": 1}, "names the unknown data set 'reviws'; did you mean 'reviews'?"),
        ({"snips": 1}, "misses the data set 'reviews'; 0 leaves it out"),
    ],
)
def test_probabilities_must_fit_the_data_sets(probabilities: dict[str, float], message: str) -> None:
    schedule, num_batches = FixedProbabilities(probabilities, epoch_length="longest"), {"snips": 3, "reviews": 4}
    for ask in (schedule.check, schedule.num_steps, lambda n: list(schedule.steps(n, Moment(0, 0)))):
        with pytest.raises(UserError, match=r"data\.schedule\.probabilities " + message.replace("?", r"\?")):
            ask(num_batches)  # type: ignore[operator]


def test_references_must_fit_the_tasks() -> None:
    tasks = {"snips": ["intent", "slots"], "reviews": ["sentiment"]}
    ValidationDriven({"slots": 0.9, "sentiment": 0.8}).check(tasks)
    with pytest.raises(UserError, match=r"references names the unknown task 'intend'; did you mean 'intent'\?"):
        ValidationDriven({"intend": 0.9}).check(tasks)


# -- command line ------------------------------------------------------------------------------------------------------
PLUG_IN = """
from mtl_lightning.data import RoundRobin

class Twice(RoundRobin):
    def __init__(self, times: int = 2) -> None:
        super().__init__("longest")
        self.times = times

    def steps(self, num_batches, moment):
        for step in super().steps(num_batches, moment):
            yield step * self.times
"""

FLAGS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "Temperature": (["alpha=0.5", "epoch_length=200"], {"alpha": 0.5, "epoch_length": 200}),
    "Uniform": (["epoch_length=longest", "batches_per_step=3"], {"epoch_length": "longest", "batches_per_step": 3}),
    "Annealed": (["over_epochs=4", "epoch_length=sum"], {"over_epochs": 4, "epoch_length": "sum", "end": 0.2}),
    "FixedProbabilities": (["probabilities={digits: 2}"], {"probabilities": {"digits": 2.0}}),
    "ValidationDriven": (["references.left=0.99", "floor=0.1"], {"references": {"left": 0.99}, "floor": 0.1}),
    "RoundRobin": (["epoch_length=shortest"], {"epoch_length": "shortest"}),
    "plug_in.Twice": (["times=3"], {"times": 3}),
}


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("plug_in", None)


@pytest.mark.usefixtures("plug_in")
@pytest.mark.parametrize(("flags", "expected"), FLAGS.values(), ids=FLAGS)
def test_flags(
    flags: list[str], expected: dict[str, Any], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    name = request.node.callspec.id
    arguments = [f"--data.schedule={name}", *(f"--data.schedule.{flag}" for flag in flags), "--print_config"]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *arguments])
    assert stopped.value.code == 0
    found = yaml.safe_load(capsys.readouterr().out)["data"]["schedule"]
    assert found["class_path"].endswith(name)
    assert expected.items() <= found["init_args"].items()


def test_flags_of_a_process() -> None:
    flags = ["--data.schedule=Temperature", "--data.schedule.alpha=0.5", "--data.schedule.epoch_length=200"]
    done = forked.run("fit", *flags, "--print_config")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["data"]["schedule"]["init_args"]
    assert found == {"alpha": 0.5, "batches_per_step": 1, "epoch_length": 200}


# -- driven by progress ------------------------------------------------------------------------------------------------
def progress(histories: Mapping[str, list[list[float]]], **settings: Any) -> list[float]:
    """Shares of the data sets, each of which labels some tasks."""
    scores = {
        name: [Score(str(n), each[-1] if each else nan, nan, history=each) for n, each in enumerate(found)]
        for name, found in histories.items()
    }
    weights = LearningProgress(**settings).weights(dict.fromkeys(scores, 10), Moment(0, 1, None, scores))
    return [weights[name] / sum(weights.values()) for name in scores]


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        ([0.4, 0.5], [0.5, 0.6], 0.2 / (1 / 6)),  # relative changes
        ([0.5, 0.4], [0.4, 0.5], 1),  # forgetting counts like learning
        ([40.0, 50.0], [0.4, 0.5], 1),  # whatever the unit
        ([0.2, 0.4, 0.4], [0.4, 0.4, 0.8], 0.5),  # what is past counts half
        ([0.4, nan, 0.5], [0.4, 0.5], 1),  # a validation without a score
    ],
)
def test_progress_of_a_task(first: list[float], second: list[float], ratio: float) -> None:
    shares = progress({"a": [first], "b": [second]}, exploration=1e-9)
    assert shares[0] / shares[1] == pytest.approx(ratio, rel=1e-6)


def test_a_data_set_has_the_progress_of_its_tasks_or_that_of_the_others() -> None:
    shares = progress({"a": [[0.4, 0.5], [0.5, 0.5]], "b": [[0.4, 0.5]], "new": [[0.3]], "none": []}, exploration=0.4)
    free = [(share - 0.1) / 0.6 for share in shares]
    assert [found / sum(free) for found in free] == pytest.approx([0.1 / 0.6, 0.2 / 0.6, 0.15 / 0.6, 0.15 / 0.6])
    assert progress({"a": [[0.5, 0.5]], "b": [[0.1, 0.1]]}) == [0.5, 0.5]
    sizes = Moment(0, 0, None, {"a": [Score("t", 0.5, 0.5, history=[0.5])]})
    assert drawn(LearningProgress(), {"a": 30, "b": 10}, sizes) == Counter(a=30, b=10)


@pytest.mark.parametrize("settings", [{"smoothing": 0.0}, {"smoothing": 1.1}, {"exploration": 0.0}])
def test_a_bandit_that_cannot_be(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"data.schedule.{next(iter(settings))} must be above 0"):
        LearningProgress(**settings)
