"""What a comparison or a run has left is read again: broken, it is one line that says what to remove."""

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtl_lightning.checkpoints.best import best_of
from mtl_lightning.compare.running.records import RESULT, read_json, read_result, write_result
from mtl_lightning.compare.running.run import execute as executing
from mtl_lightning.compare.running.store import Store
from mtl_lightning.errors import UserError

BROKEN = [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"{'a': 1}", b"\0"]
WHOLE: dict[str, Any] = {
    "status": "finished",
    "message": "",
    "seconds": 1.5,
    "scores": {"a": {"accuracy": 0.5, "loss": None}, "b": {"mae": 2}, "joint": {"d": 0.4}, "average": 0.5},
    "metrics": {
        "a": {"main": "accuracy", "higher_is_better": {"accuracy": True, "loss": False}},
        "b": {"main": "mae", "higher_is_better": {"mae": False}},
    },
    "costs": {"steps": 3, "peak_memory": None},
    "cosines": [["a", "b", float("nan"), 0.5, 3]],
    "gates": [["", "a", "shared_0", 0.5]],
    "similarity": [["a", "b", 0.5]],
    "by_preference": [{"preference": {"a": 1.0}, "scores": {"a": {"accuracy": 0.5}, "average": 0.5}}],
    "torch": "2.0",
    "device": "cpu",
}
ODD: list[Any] = ["odd", ["odd"], {"odd": {"odd": 3}}, None, 10**400, float("inf"), True, -(10**400), 1e101]
MAY_BE: dict[tuple[str, ...], list[Any]] = {
    ("message",): ["odd"],
    ("torch",): ["odd"],
    ("scores", "joint"): [None, ODD[1]],
    ("scores", "a", "accuracy"): [None],
    ("metrics", "a", "main"): ["odd"],
    ("metrics", "a", "higher_is_better"): [],
    ("metrics", "a", "higher_is_better", "loss"): [True],
    ("costs", "steps"): [None],
    ("cosines", "0", "0"): ["odd"],
    ("cosines", "0", "2"): [None],
    ("cosines", "0", "4"): [],
    ("gates", "0"): [],
    ("gates", "0", "2"): ["odd"],
    ("gates", "0", "3"): [None],
    ("similarity", "0", "1"): ["odd"],
    ("by_preference", "0"): [],
    ("by_preference", "0", "preference"): [],
    ("by_preference", "0", "preference", "a"): [None],
    ("by_preference", "0", "scores"): [ODD[2]],
    ("by_preference", "0", "scores", "a"): [None],
    **{(key,): [] for key in ("status", "seconds", "scores", "metrics", "costs", "cosines")},
    **{("scores", key): [] for key in ("average", "a")},
    **{("metrics", key): [] for key in "ab"},
}
"""By place in a result, what of these may stand there."""


def changed(place: Sequence[str], value: Any) -> dict[str, Any]:
    """A result with something else at a place."""
    result = deepcopy(WHOLE)
    *parents, last = [int(key) if key.isdecimal() else key for key in place]
    part: Any = result
    for key in parents:
        part = part[key]
    part[last] = value
    return result


@pytest.mark.parametrize("content", BROKEN, ids=repr)
def test_a_record_that_is_broken_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(UserError, match=r"record\.json is broken \(.*\); remove it"):
        read_json(tmp_path / "record.json")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.json").write_bytes(content)
    with pytest.raises(UserError, match=r"best\.json is broken; name the checkpoint itself"):
        best_of(tmp_path)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "nowhere.json") is None and read_result(tmp_path / RESULT) is None


def test_a_result_that_comes_while_it_is_looked_for_is_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yet(path: Path, encoding: str) -> str:
        path.write_bytes(json.dumps(WHOLE).encode())  # another process has ended just now
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", not_yet)
        assert read_result(tmp_path / RESULT) is None
    assert (tmp_path / RESULT).exists()


@pytest.mark.parametrize("place", MAY_BE, ids=".".join)
def test_a_result_that_holds_something_else_is_said(place: Sequence[str], tmp_path: Path) -> None:
    for odd in (odd for odd in ODD if odd not in MAY_BE[tuple(place)]):
        (tmp_path / RESULT).write_text(json.dumps(changed(place, odd)))
        with pytest.raises(UserError, match=r"result\.json is broken: it is not the result of a run \(.*\); remove it"):
            read_result(tmp_path / RESULT, ["a", "b"])


@pytest.mark.parametrize("key", ["status", "message", "seconds", "scores", "metrics", "costs", "cosines"])
def test_a_result_that_lacks_a_part_is_said(key: str, tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text(json.dumps({other: value for other, value in WHOLE.items() if other != key}))
    with pytest.raises(UserError, match=rf"the result of a run \('{key}' is missing\)"):
        read_result(tmp_path / RESULT)


@pytest.mark.parametrize("content", ["[1]", "3", "null", "{}", '{"status": 3}', '{"a": ' * 600 + "1" + "}" * 600])
def test_a_result_that_is_none_is_said(content: str, tmp_path: Path) -> None:
    run: Any = SimpleNamespace(key="abc", name="equal-abc", config={"model": {"tasks": {"a": "Regression"}}})
    folder = tmp_path / "runs" / "equal-abc"
    folder.mkdir(parents=True)
    (folder / RESULT).write_text(content)
    with pytest.raises(UserError, match=r"result\.json is broken: it is not the result of a run"):
        Store(tmp_path).result(run)


def test_a_result_is_read_as_it_was_written_and_of_its_run(tmp_path: Path) -> None:
    write_result(tmp_path / RESULT, WHOLE)
    assert json.dumps(read_result(tmp_path / RESULT, ["b", "a"])) == json.dumps(WHOLE)  # NaN is not equal to itself
    for tasks in (["a"], ["a", "b", "c"]):
        with pytest.raises(UserError, match=r"it is of the tasks a, b; the run is of"):
            read_result(tmp_path / RESULT, tasks)


@pytest.mark.parametrize(
    ("old", "new"), [("0.5", "0.6"), ('"loss": null', '"loss": 0.1'), ("accuracy", "f1"), ("1.5", "2")]
)
def test_a_result_that_was_changed_is_said(old: str, new: str, tmp_path: Path) -> None:
    write_result(tmp_path / RESULT, WHOLE)
    (tmp_path / RESULT).write_text((tmp_path / RESULT).read_text().replace(old, new))
    with pytest.raises(UserError, match="it was changed: its checksum does not match"):
        read_result(tmp_path / RESULT)


@pytest.mark.parametrize(
    ("record", "scores"),
    [("[]", "{}"), ("{", "{}"), ("{}", "[]"), ('{"metrics": 3}', '{"average": 0.5}'), ("{}", '{"average": "a"}')],
)
def test_a_run_whose_records_are_broken_has_failed(
    record: str, scores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in ((executing.RECORD, record), (executing.SCORES, scores)):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(executing, "_fit", lambda *arguments: 0)
    executing._run(tmp_path, 1, False, None)
    result = read_result(tmp_path / RESULT)
    assert result is not None and result["status"] == "failed"
    assert "is broken" in result["message"] or "is no result" in result["message"]
