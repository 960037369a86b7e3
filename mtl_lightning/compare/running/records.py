"""What runs leave behind and a comparison reads again: only what is whole counts."""

import json
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from mtl_lightning.errors import UserError, shown
from mtl_lightning.writing import write_whole

RECORD = "record.json"
RESULT = "result.json"
SPENT = "spent.json"
"""Seconds of a run up to where it was stopped."""
KEPT = ("finished", "diverged", "solver")
"""What a run would come to again; others are tried again when a comparison is resumed."""

_CHECKSUM = "checksum"
_LARGEST = 1e100  # squares and sums of smaller numbers are finite
_BESIDE_TASKS = {"joint", "by_dataset", "average"}  # in scores
_NOWHERE = object()

Check: TypeAlias = Callable[[Any], bool]


def read_json(path: Path, otherwise: Any = None) -> Any:
    """What a file holds.

    Args:
        path: Of the file.
        otherwise: What is returned if there is none.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return otherwise
    except (OSError, ValueError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:120]
        raise UserError(f"{path} is broken ({said}); remove it, and what it says is determined again") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object that a file holds; an empty one if there is none.

    Raises:
        UserError: If it holds anything else.
    """
    found = read_json(path)
    if found is not None and not isinstance(found, dict):
        raise UserError(f"{path} is broken: it holds {shown(found)}, not an object; remove it")
    return found or {}


def read_seconds(path: Path) -> float:
    """Seconds that a file holds; 0 if there is none.

    Raises:
        UserError: If it holds anything else.
    """
    found = read_json(path)
    if found is not None and not _is_duration(found):
        raise UserError(f"{path} is broken: it holds {shown(found)}, not seconds; remove it")
    return float(found or 0.0)


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Writes what a run came to, with a checksum of it."""
    whole = json.loads(json.dumps(result))
    write_whole(path, json.dumps({**whole, _CHECKSUM: _checksum(whole)}, indent=1))


def read_result(path: Path, tasks: Collection[str] | None = None) -> dict[str, Any] | None:
    """What a run came to; None where there is no file.

    Args:
        path: Of the file.
        tasks: The run's; null: any.

    Returns:
        ``status``, ``message``, ``seconds``, and of a finished run ``scores``, ``metrics``, ``costs`` and ``cosines``,
        of one with experts or task embeddings ``gates`` or ``similarity``, of one that was asked for preferences
        ``by_preference``, as :func:`.execute.execute` wrote them.
        Numbers are at most 1e100, NaN or null.

    Raises:
        UserError: If the file holds anything else, or was changed: runs of before had no checksum and have none.
    """
    found = read_json(path, _NOWHERE)
    if found is _NOWHERE:  # asked once: another process may write it meanwhile
        return None
    try:
        problem = problem_of(found, tasks)
    except RecursionError:
        problem = "it is nested too deeply"
    if problem:
        raise UserError(
            f"{path} is broken: it is not the result of a run ({problem}); remove it, and the run is repeated"
        )
    return {key: value for key, value in found.items() if key != _CHECKSUM}


def problem_of(found: Any, tasks: Collection[str] | None = None) -> str:
    """What keeps something from being a result, see :func:`read_result`; nothing if it is one."""
    if not isinstance(found, dict):
        return f"it holds {shown(found)}"
    said = {key: value for key, value in found.items() if key != _CHECKSUM}
    if _CHECKSUM in found and found[_CHECKSUM] != _checksum(said):
        return "it was changed: its checksum does not match"
    needed = _OF_ALL | (_OF_FINISHED if said.get("status") == "finished" else set())
    if missing := sorted(needed - said.keys()):
        return f"'{missing[0]}' is missing"
    if wrong := [key for key, check in _PARTS.items() if key in said and not check(said[key])]:
        return f"'{wrong[0]}' is {shown(said[wrong[0]])}"
    return _mismatch(said, tasks) if said["status"] == "finished" else ""


def _mismatch(result: Mapping[str, Any], tasks: Collection[str] | None) -> str:
    """What is wrong with a finished result whose parts are right."""
    scores, known = result["scores"], set(result["metrics"])
    if tasks is not None and known != set(tasks):
        return f"it is of the tasks {', '.join(sorted(known))}; the run is of {', '.join(sorted(tasks))}"
    if unknown := sorted(scores.keys() - known - _BESIDE_TASKS):
        return f"'scores' has {shown(unknown[0])}, which is no task"
    if odd := [name for name in known & scores.keys() if not isinstance(scores[name], dict)]:
        return f"the scores of '{odd[0]}' are {shown(scores[odd[0]])}"
    average = scores.get("average")
    return "" if average is not None and _is_number(average) and average == average else "it has no average score"


def _checksum(result: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(result, sort_keys=True).encode())


def _is_number(value: Any) -> bool:
    """Whether it is null, NaN or a number that can be computed with."""
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value != value or abs(value) <= _LARGEST


def _is_duration(value: Any) -> bool:
    return value is not None and _is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _is_score(value: Any) -> bool:
    of_task = _each(_is_number)
    return _is_number(value) or of_task(value) or _each(_each(of_task))(value)


def _is_meaning(value: Any) -> bool:
    directions = _each(lambda direction: isinstance(direction, bool))
    return isinstance(value, dict) and _is_text(value.get("main")) and directions(value.get("higher_is_better"))


def _is_asked(value: Any) -> bool:
    """Whether it is a list of preferences with scores."""
    parts = {"preference": _each(_is_number), "scores": _each(_is_score)}
    return isinstance(value, list) and all(
        isinstance(one, dict) and one.keys() == parts.keys() and all(check(one[key]) for key, check in parts.items())
        for one in value
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _rows(*checks: Check) -> Check:
    """Whether it is a list of lists of such values."""

    def is_row(value: Any) -> bool:
        if not isinstance(value, list) or len(value) != len(checks):
            return False
        return all(check(part) for check, part in zip(checks, value, strict=True))

    return lambda value: isinstance(value, list) and all(map(is_row, value))


_PARTS: Mapping[str, Check] = {
    "status": lambda value: value in (*KEPT, "failed", "timeout"),
    "message": _is_text,
    "seconds": _is_duration,
    "scores": _each(_is_score),
    "metrics": _each(_is_meaning),
    "costs": _each(_is_number),
    "cosines": _rows(_is_text, _is_text, _is_number, _is_number, _is_count),
    "gates": _rows(_is_text, _is_text, _is_text, _is_number),
    "similarity": _rows(_is_text, _is_text, _is_number),
    "by_preference": _is_asked,
    "torch": _is_text,
    "device": _is_text,
}
_OF_ALL = {"status", "message", "seconds"}
_OF_FINISHED = {"scores", "metrics", "costs", "cosines"}
