"""A run that was stopped and goes on equals one that was not, bitwise: data, losses, log, parameters, all states."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from launch import assert_same, run
from resume import CASES

SCRIPT = Path(__file__).parent / "resume.py"
Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    run(SCRIPT, folder, 1, 2)
    return folder


def load(runs: Path, world: int, rank: int, case: str) -> Found:
    found: Found = pickle.loads((runs / str(world) / f"{case}-{rank}.pickle").read_bytes())
    assert "error" not in found, found["error"]
    return found


@pytest.mark.parametrize(("world", "rank"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_as_if_it_had_not_been_stopped(runs: Path, case: str, world: int, rank: int) -> None:
    found = load(runs, world, rank, case)
    whole = found.pop("whole")
    assert len(found) == (1 if world == 2 else 3) and len(whole["lines"]) >= 11
    for checkpoint, resumed in found.items():
        for course in ("lines", "logged"):
            expected = whole.pop(course) if course not in whole else whole[course]
            assert resumed[course] == expected[len(expected) - len(resumed[course]) :], f"{checkpoint}: {course}"
        rest = {name: value for name, value in whole.items() if name not in ("lines", "logged")}
        assert_same({name: resumed[name] for name in rest}, rest, 0, checkpoint)


@pytest.mark.parametrize("case", CASES)
def test_it_was_stopped_in_the_middle_of_epochs_and_between_them(runs: Path, case: str) -> None:
    found = load(runs, 1, 0, case)
    whole = found.pop("whole")
    assert found.pop("unsaved")["lines"] == whole["lines"]
    rests = {checkpoint: len(resumed["lines"]) for checkpoint, resumed in found.items()}
    for checkpoint, rest in rests.items():
        epoch, batch = map(int, checkpoint.split("-"))
        assert rest == sum((line[0], line[1]) >= (epoch, batch) for line in whole["lines"]), checkpoint
    assert sorted(checkpoint.endswith("-0") for checkpoint in rests) == [False, True]


@pytest.mark.parametrize("case", CASES)
def test_every_example_is_read_by_one_process_and_once_in_a_pass(runs: Path, case: str) -> None:
    """Within a pass over a data set: the batches of an epoch up to the one that starts it over."""
    parts = [load(runs, 2, rank, case)["whole"]["lines"] for rank in (0, 1)]
    seen: dict[tuple[int, str], list[int]] = {}
    for first, second in zip(*parts, strict=True):
        assert first[:2] == second[:2]
        for name in first[2] | second[2]:
            rows = [*first[2].get(name, []), *second[2].get(name, [])]
            seen.setdefault((first[0], name), []).extend(rows)
    assert {name for _, name in seen} == {"both", "one"}
    for (_, name), rows in seen.items():
        size = {"both": 29, "one": 14}[name]
        only_pass = rows[: size - 1]
        assert len(set(only_pass)) == len(only_pass)
        assert set(rows) <= set(range(size))
