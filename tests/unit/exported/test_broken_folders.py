"""Folders that are not what was exported are refused in one line, whoever has changed them."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import handmade
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning import manifest
from mtl_lightning.__main__ import main
from mtl_lightning.errors import UserError
from mtl_lightning.exported import ExportedModel
from mtl_lightning.exported.description import DESCRIPTION
from mtl_lightning.small_files import LIMIT

OLD = Path(__file__).parents[2] / "checkpoints" / "exported_1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handmade.write(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def predict(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status of the command on two lines, and what it says."""
    (folder.parent / "in.txt").write_text("some\nwords\n")
    capsys.readouterr()
    status = main(["predict", "--model", str(folder), "--input", str(folder.parent / "in.txt"), "--threads=1"])
    return status, capsys.readouterr().err


def edited(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """What changes a file of JSON, and leaves the checksums."""

    def edit(folder: Path) -> None:
        (folder / name).write_text(json.dumps(change(json.loads((folder / name).read_text()))))

    return edit


def listed(name: str) -> Callable[[Path], None]:
    """What names another file in the manifest."""
    return edited(manifest.NAME, lambda found: {**found, "files": {**found["files"], name: "0" * 64}})


def linked_outside(folder: Path) -> None:
    path = folder / "text.onnx"
    path.symlink_to(path.rename(folder.parent / "text.onnx"))


def linked_in_a_circle(folder: Path) -> None:
    (folder / "text.onnx").unlink()
    (folder / "text.onnx").symlink_to("text.onnx")


def piped(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")


def versioned(version: Any) -> Callable[[Path], None]:
    return lambda folder: handmade.reseal(folder, lambda known: {**known, "version": version})


def found_by(task: str) -> Callable[[Path], None]:
    """Spans that a task is said to find."""

    def change(known: Any) -> Any:
        return {**known, "readings": [{**each, "found": {"spans": task}} for each in known["readings"]]}

    return lambda folder: handmade.reseal(folder, change)


NOT_WHOLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "is no exported model: it has no readable export.json"),
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], "is no exported model"),
    "half copied": (lambda folder: (folder / "text.onnx").unlink(), "lacks text.onnx"),
    "truncated": (lambda folder: os.truncate(folder / "text.onnx", 100), "text.onnx is not what was exported"),
    "tampered": (edited(DESCRIPTION, lambda known: {**known, "tasks": {}}), "model.json is not what was exported"),
    "linked outside": (linked_outside, "lacks text.onnx"),
    "linked in a circle": (linked_in_a_circle, "lacks text.onnx"),
    "a pipe": (piped, "lacks tokenizer.json"),
    "a path outside": (listed("../../etc/passwd"), "lacks ../../etc/passwd"),
    "an absolute path": (listed("/etc/passwd"), "lacks /etc/passwd"),
    "an impossible name": (listed("a\0b"), r"lacks a\x00b"),
    "a long name": (listed("a" * 5000), "lacks aaa"),
    "no text": (lambda folder: (folder / manifest.NAME).write_bytes(b"\xff\0"), "is no exported model"),
    "deep": (lambda folder: (folder / manifest.NAME).write_text("[" * 100_000), "is no exported model"),
    "huge": (lambda folder: os.truncate(folder / manifest.NAME, 20_000_000), "is no exported model"),
    "older": (versioned(0), "in version 0 of its format; this one reads version 1: export the model again"),
    "newer": (versioned(2), "in version 2 of its format; this one reads version 1: update mtl_lightning"),
    "no spans": (found_by("kind"), "task 'kind' finds no spans"),
    "unknown finder": (found_by("other"), "unknown task 'other'"),
    "no version": (versioned(None), "in version None of its format"),
}


@pytest.mark.parametrize(("change", "said"), NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_it_is_refused_in_one_line(
    folder: Path, change: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder)
    status, line = predict(folder, capsys)
    assert status == 2 and line.count("\n") == 1
    assert line.startswith("error: ") and said in line


def test_a_folder_of_an_older_release_predicts_as_it_did() -> None:
    """Or raise ``VERSION``, so that it is refused by name; the files are those that version 0.1.0 wrote at first."""
    found = ExportedModel(OLD, 1).predict({"text": ["some", "words"]})
    assert [row["size"]["value"] for row in found] == [87, 91] and found[0]["kind"]["label"] == "a"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a value of JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """A value with something else at a place; ``...``: nothing."""
    if not path:
        return None if other is ... else other
    key, *rest = path
    inner = {key: replaced(value[key], tuple(rest), other)} if rest or other is not ... else {}
    if isinstance(value, dict):
        return {**{k: v for k, v in value.items() if k != key}, **inner}
    return [*value[:key], *inner.values(), *value[key + 1 :]]


JUNK: list[Any] = [..., None, True, -1, 0, 7, 10**30, 1e308, "", "x", "text", "text.onnx", "../x", "\0", "\ud800"]
JUNK += [[], ["x"], {}, {"x": "y"}, [[1]], {"decoder": "os.system"}, {"text": ["a", "b"]}, "kind", "size/values"]


def refused(folder: Path) -> str | None:
    """What is said of a folder; null: it predicts."""
    try:
        assert len(ExportedModel(folder, 1).predict({"text": ["some", "words"]})) == 2
    except UserError as error:
        return str(error)
    return None


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_a_description_says_it_is_refused_or_understood(whole: Path, data: st.DataObject) -> None:
    text = (whole / DESCRIPTION).read_text()
    known = json.loads(text)
    place = data.draw(st.sampled_from(list(places(known))))
    try:
        handmade.reseal(whole, lambda known: replaced(known, place, data.draw(st.sampled_from(JUNK))))
        assert refused(whole) != ""
    finally:
        handmade.reseal(whole, lambda _: known)


def test_lengths_that_cannot_be_are_refused(whole: Path) -> None:
    known = json.loads((whole / DESCRIPTION).read_text())
    try:
        for name in ("max_length", "overlap"):
            handmade.reseal(whole, lambda known, name=name: replaced(known, ("inputs", name), -1))
            assert "there are no texts" in str(refused(whole))
    finally:
        handmade.reseal(whole, lambda _: known)


MANIFESTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just("text.onnx"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["format", "files", "x"]), inner),
    max_leaves=4,
)


@given(found=MANIFESTS)
def test_whatever_a_manifest_says_it_is_refused_or_understood(whole: Path, found: Any) -> None:
    text = (whole / manifest.NAME).read_text()
    try:
        (whole / manifest.NAME).write_text(json.dumps({**json.loads(text), **found} if type(found) is dict else found))
        with suppress(UserError):
            manifest.check_files(whole)
    finally:
        (whole / manifest.NAME).write_text(text)


def test_a_description_may_be_larger_than_settings_are(folder: Path) -> None:
    """That of a table holds all its categories."""
    handmade.reseal(folder, lambda known: {**known, "padding": "x" * (LIMIT + 1)})
    assert [*ExportedModel(folder).tasks] == ["kind", "size"]
