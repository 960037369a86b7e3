"""What is done about a task that loses too much in 8 bits, and what is said of it."""

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtl_lightning.export.checks_table import not_good_enough, print_checks, write_checks
from mtl_lightning.export.eight_bits import in_8_bits
from mtl_lightning.export.self_check import Check
from mtl_lightning.export.validation import Judged

MODEL: Any = SimpleNamespace(chain=SimpleNamespace(needed=lambda tasks: ["before", *tasks]))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose content says which heads were left alone when it was quantised."""

    def quantise(source: Path, target: Path, full: Collection[str], inputs: Any, some: Any) -> None:
        assert source.read_text() == "whole" and inputs is some is None
        target.write_text(",".join(full) or "none")

    monkeypatch.setattr("mtl_lightning.export.eight_bits.quantise", quantise)
    (tmp_path / "text.onnx").write_text("whole")
    return tmp_path / "text.onnx"


def judging(*exported: float) -> Any:
    found: Iterator[float] = iter(exported)
    return lambda: {"a": Judged("f1", 0.9, next(found), True), "b": Judged("f1", 0.8, 0.8, True)}


@pytest.mark.parametrize(
    ("exported", "content"), [((0.896,), "none"), ((0.893, 0.899), "before,a"), ((0.893, 0.894), "before,a")]
)
def test_a_task_that_loses_half_a_point_gets_its_head_back(
    path: Path, exported: tuple[float, ...], content: str
) -> None:
    quality = in_8_bits(MODEL, path, judging(*exported))
    assert path.read_text() == content
    assert quality.metrics["a"].exported == exported[-1]
    assert ",".join(quality.full_precision) == content.replace("none", "")
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_known_without_data(path: Path) -> None:
    assert in_8_bits(MODEL, path, None) == ({}, ())
    assert path.read_text() == "none"


@pytest.mark.parametrize(
    ("before", "after", "higher", "lost"),
    [
        (0.9, 0.89, True, 1.0),
        (0.9, 0.91, True, -1.0),
        (4.0, 4.1, False, 2.5),
        (0.0, 0.0, False, 0.0),
        (0.0, 0.1, False, math.inf),
        (math.nan, 0.3, True, 0.0),
        (0.3, math.nan, True, math.inf),
    ],
)
def test_points_are_hundredths_and_errors_percent(before: float, after: float, higher: bool, lost: float) -> None:
    assert Judged("m", before, after, higher).lost == pytest.approx(lost)


def check(metrics: dict[str, Judged], difference: float = 0.1) -> Check:
    return Check("text.onnx", {"a": difference, "b": 0.0}, (1, 4), (2.0, 1.0), metrics, ["a"])


def test_what_is_short_is_named(caplog: pytest.LogCaptureFixture) -> None:
    found = [check({"a": Judged("f1", 0.9, 0.85, True), "b": Judged("mse", 1.0, 1.001, False)})]
    assert not_good_enough(found, None) == 1
    (line,) = caplog.messages
    assert line.startswith("task 'a' loses too much in 8 bits, its head in full precision: f1 is 0.8500, 0.9000 in the")
    assert not_good_enough([check({})], None) == 0


def test_in_full_precision_outputs_count(caplog: pytest.LogCaptureFixture) -> None:
    lossy = {"a": Judged("f1", 0.9, 0.85, True)}
    assert not_good_enough([check(lossy, 1e-5)], 1e-4) == 0
    assert not_good_enough([check({}, math.inf)], 1e-4) == 1
    assert "task 'a' differs from the checkpoint by inf" in caplog.text


def test_the_table_and_the_file_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [check({"a": Judged("f1", 0.9, 0.85, True)}, math.inf)]
    print_checks(found)
    printed = capsys.readouterr().out
    assert "f1 0.8500" in printed and "0.9000" in printed and "a (full" in printed
    write_checks(found, tmp_path)
    (row,) = json.loads((tmp_path / "check.json").read_text())
    assert row["metrics"]["a"] == {"metric": "f1", "checkpoint": 0.9, "exported": 0.85, "lost": pytest.approx(5.0)}
    assert row["difference"]["a"] is None and row["full_precision"] == ["a"]
