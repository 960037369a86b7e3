"""``predict --model`` reads, predicts and writes by and by, and ends as other commands do."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import handmade
import pytest
from patience import PATIENCE

from mtl_lightning.__main__ import main
from mtl_lightning.exported import ExportedModel, command
from mtl_lightning.exported.lines import Lines
from mtl_lightning.exported.rows import Row, batched, read

COMMAND = [sys.executable, "-m", "mtl_lightning", "predict", "--model", "model"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handmade.write(tmp_path_factory.mktemp("streaming") / "model")


def started(model: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command, with pipes at both ends."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*COMMAND, *arguments], cwd=model.parent, text=True, **streams)  # type: ignore[call-overload,no-any-return]


def test_a_pipe_is_answered_before_its_end_and_a_signal_says_what_is_written(model: Path) -> None:
    with started(model, "--batch_size=2") as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write("a\nb\nc\n")
        process.stdin.flush()
        found = [json.loads(process.stdout.readline())["text"] for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert found == ["a", "b"]
        said = r"Stopped by SIGTERM; [12] predictions are written\n"  # the signal may come before a line is counted
        assert re.fullmatch(said, process.stderr.read())


def test_rows_of_a_file_are_not_kept(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": f"{number}", "n": number}) + "\n" for number in range(500)))
    read_so_far: list[int] = []

    def noted(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            read_so_far.append(row.line)
            yield row

    loaded = ExportedModel(model, 1)
    file = read(str(path), loaded.readings)
    lines = Lines(loaded, file, None)
    for number, rows in enumerate(batched(noted(file.rows), 7), 1):
        assert len(read_so_far) <= 7 * number
        assert [json.loads(line)["n"] for line in lines.of(rows)] == [row.line - 1 for row in rows]
    assert len(read_so_far) == 500


def test_a_file_is_not_there_until_it_is_whole(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(model.parent)
    (tmp_path / "in.txt").write_text("a\nb\nc\n")

    def broken(self: Any, rows: Any) -> list[str]:
        if rows[0].line > 1:
            raise KeyboardInterrupt
        return ["first"]

    with monkeypatch.context() as patched:
        patched.setattr(Lines, "of", broken)
        with pytest.raises(KeyboardInterrupt):
            command.run(["--model=model", f"--input={tmp_path}/in.txt", f"--output={tmp_path}/out", "--batch_size=1"])
    assert (tmp_path / "out.partial").read_text() == "first\n" and not (tmp_path / "out").exists()
    assert main(["predict", "--model=model", f"--input={tmp_path}/in.txt", f"--output={tmp_path}/out"]) == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 3 and not (tmp_path / "out.partial").exists()


def test_a_reader_that_leaves_is_no_mistake(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("a\n" * 10)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1) as output, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", output)
        assert main(["predict", "--model", str(model), "--input", str(tmp_path / "in.txt")]) == 141
    assert capfd.readouterr().err == ""


def test_a_file_that_is_cut_off_ends_with_what_there_is(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.txt.gz"
    path.write_bytes(gzip.compress(b"".join(b"%09d\n" % number for number in range(3000)))[:-200])
    assert main(["predict", "--model", str(model), "--input", str(path)]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) > 64
    (line,) = printed.err.splitlines()
    assert "it is cut off or damaged" in line and line.endswith("predictions are written")
