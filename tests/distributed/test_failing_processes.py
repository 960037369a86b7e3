"""One of two processes fails: all end, and what is said last is why."""

import json
import os
import re
from pathlib import Path
from typing import Any

import launch
import pytest
import tiny
from forked import Forked

SCRIPT = Path(__file__).with_name("failing.py")
RAISED = "LookupError: this cannot be computed"


def fail(folder: Path, place: str, rank: int, how: str, *options: str, started: bool = False) -> list[Any]:
    """A run of two processes, started by the command itself or (``started``) by somebody else: what each has left."""
    tiny.write(folder)
    wanted = json.dumps({"place": place, "rank": rank, "how": how, "call": 2})
    env = {"FAILING": wanted, "HF_DATASETS_CACHE": str(folder / "cache")}
    arguments = ["fit", "--config=config.yaml", "--trainer.default_root_dir=run", "--trainer.devices=2"]
    arguments += ["--model.weighting=UPGrad", *options]
    if started:
        runs = launch.start(2, *arguments, script=SCRIPT, cwd=folder, env=env)
    else:
        runs = [Forked(*arguments, script=SCRIPT, cwd=folder, env={**os.environ, **env})]
    return [run.finish() for run in runs]


def last(result: Any) -> str:
    return str(result.stderr.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("place", "rank"), [("forward", 1), ("backward", 0), ("reduction", 1), ("saving", 0), ("validation", 1)]
)
def test_an_error_ends_all_and_the_others_stay_short(place, rank, tmp_path):
    found = fail(tmp_path, place, rank, "raise", started=True)
    assert [each.returncode for each in found] == [1, 1]
    assert last(found[rank]) == RAISED
    assert "Traceback" not in found[1 - rank].stderr
    if rank == 1:
        assert last(found[0]).startswith("error: process 1 on ")
        assert f"has failed: {RAISED}" in last(found[0])


def test_the_error_of_a_process_that_we_started_is_last_on_the_screen(tmp_path):
    (found,) = fail(tmp_path, "forward", 1, "raise")
    assert found.returncode == 1
    assert last(found).endswith(RAISED)


def test_a_process_that_is_killed_is_named(tmp_path):
    found = fail(tmp_path, "validation", 1, "kill", started=True)
    assert [each.returncode for each in found] == [1, -9]
    assert "Traceback" not in found[0].stderr
    assert last(found[0]).startswith("error: ")


def test_a_process_that_goes_round_in_circles_is_named_and_shows_where(tmp_path):
    found = fail(tmp_path, "forward", 1, "loop", "--rank_timeout=3", started=True)
    assert [each.returncode for each in found] == [1, 1]
    # a busy machine may keep it from answering, too
    assert re.search(r"has (kept the others waiting|not answered) for 3 s; it (is|was) in step", last(found[0]))
    assert "Process 1 is at (most recent call last):" in found[1].stderr
    assert "in fail\n" in found[1].stderr
