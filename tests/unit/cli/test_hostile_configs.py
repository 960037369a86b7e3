"""A config of any kind is read, or refused in one line: in memory and time that its length bounds, and no code runs."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from mtl_lightning import small_files
from mtl_lightning.__main__ import main
from mtl_lightning.cli.configuration.plain_yaml import parse_value, read_yaml
from mtl_lightning.data.sources.label_maps import read_label_map
from mtl_lightning.demo import DEMO
from mtl_lightning.errors import UserError
from mtl_lightning.small_files import LIMIT

MUTATIONS = 25
TOKENS = [b"[", b"]", b"{", b": ", b"- ", b"&a ", b"*a", b"!!int ", b"!x ", b"|", b"'", b'"', b"#", b"null", b"1e400"]
TOKENS += [b"9" * 40, b"\t", b"\n", b"\n  ", b"\0", b"\xff", b"<<: ", b"?", b"%", b"@", b"~", b".nan", b"---\n", b"..."]


def laughs(levels: int, first: str, further: Callable[[str], str]) -> str:
    """Each line stands for many times what the one before stands for."""
    lines = [f"x0: &x0 {first}", *(f"x{n}: &x{n} {further(f'*x{n - 1}')}" for n in range(1, levels))]
    return "\n".join(lines)


TEXTS = {
    "Python": ("name: !!python/object/apply:os.system [touch executed]", "line 1: not valid YAML: the tag"),
    "bytes": ("name: !!binary aGVsbG8=", "binary' is not supported"),
    "date": ("name: !!timestamp 2001-01-01", "timestamp' is not supported"),
    "number by a tag": ("a: 1\nname: !!int word", "line 2: not valid YAML: the tag"),
    "tag of one's own": ("name: !mine {a: 1}", "the tag '!mine' is not supported"),
    "laughs": (laughs(9, "[lol]", lambda x: f"[{x}, {x}, {x}, {x}, {x}, {x}]"), "line 9: more than 1,000,000 values"),
    "many laughs": (laughs(400, "[lol]", lambda x: f"[{x}, {x}]"), "more than 1,000,000 values"),
    "merged": (laughs(30, "{a: 1}", lambda x: f"{{<<: [{x}, {x}], b: 1}}"), "more than 1,000,000 values"),
    "mappings": (laughs(30, "{a: 1}", lambda x: f"{{a: {x}, b: {x}}}"), "more than 1,000,000 values"),
    "itself": ("a: &a [*a]", "the alias *a stands within what it stands for"),
    "itself, merged": ("a: &a {<<: *a}", "the alias *a stands within what it stands for"),
    "no anchor": ("a: *nowhere", "not valid YAML"),
    "brackets": (f"a: {'[' * 3000}{']' * 3000}", "line 1: n"),
    "open brackets": ("a: " + "[" * 3000, "line 1: n"),
    "levels": ("\n".join(" " * n + "a:" for n in range(200)), "nested deeper than 100 levels"),
    "dashes": ("- " * 300 + "a", "nested deeper than 100 levels"),
    "values": (f"a: [{'1,' * 1_000_001}]", "more than 1,000,000 values"),
    "nothing": (" \n", "the file is empty"),
    "list": ("- a", "found list"),
    "word": ("hello", "found str"),
    "a list as a key": ("? [a]\n: 1", "not valid YAML: found unhashable key"),
    "a null as a key": ("null: 1", "None is not the name of a setting"),
    "nothing as a key": ("'': 1", "'' is not the name of a setting"),
    "NUL": ("name: a\0b", "not valid YAML"),
    "JSON with tabs": ('{\n\t"name": 1,}}', "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2", "line 2: not valid YAML"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, said = TEXTS[name]
    Path("bad.yaml").write_text(text)
    with pytest.raises(UserError) as refused:
        read_yaml("bad.yaml")
    assert str(refused.value).startswith("bad.yaml") and said in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    assert not Path("executed").exists()


def test_a_map_of_labels_is_refused_alike(tmp_path: Path) -> None:
    for text in (TEXTS["laughs"][0], TEXTS["itself"][0], f"a: {'[' * 3000}", "a: !!python/name:os.system"):
        (tmp_path / "map.yaml").write_text(text)
        with pytest.raises(UserError, match="cannot read"):
            read_label_map(tmp_path / "map.yaml", "label_maps.x")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for content in ("name: é".encode("latin1"), "name: a".encode("utf-16"), bytes(range(256))):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(UserError, match="is not a text file in UTF-8"):
            read_yaml(str(tmp_path / "bad.yaml"))
    (tmp_path / "marked.yaml").write_text("name: é", "utf-8-sig")
    assert read_yaml(str(tmp_path / "marked.yaml")) == {"name": "é"}


def test_what_has_no_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_files, "_ARRIVAL", 1)
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(20 * LIMIT)
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, said in (
        (tmp_path / "large.yaml", "is larger than 10 MB"),
        (tmp_path / "pipe.yaml", "is a pipe into which nobody writes"),
        (tmp_path / "self.yaml", "no config file"),
        (tmp_path, "is a folder"),
        ("/dev/zero", "/dev/zero is a device"),
        ("a\0b.yaml", "no config file"),
    ):
        with pytest.raises(UserError, match=said):
            read_yaml(str(path))


def test_a_pipe_is_read_as_a_file_is(tmp_path: Path) -> None:
    """Of ``--config <(command)``."""
    reader, writer = os.pipe()
    content = b"name: piped\n" + b"# comment\n" * 20_000
    thread = threading.Thread(target=lambda: (os.write(writer, content[:5]), _write(writer, content[5:])))
    thread.start()
    try:
        assert read_yaml(f"/dev/fd/{reader}") == {"name": "piped"}
    finally:
        thread.join()
        os.close(reader)


def _write(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(content)


def test_values_on_the_command_line() -> None:
    for text in ("!!python/name:os.system", "*a", "[" * 90, "!x", "9" * 5000, "{[1]: 2}", "@a", "a\udcffb"):
        assert parse_value(text) == text  # a word, of which types decide
    for text in (f"{{a: {'[' * 200}{']' * 200}}}", "&a [*a]"):
        with pytest.raises(UserError, match=r"nested deeper|stands within"):
            parse_value(text)


FLAGS = {
    "brackets": "[" * 3000,
    "brackets that are closed": "[" * 200 + "]" * 200,
    "alias": "*a",
    "Python": "!!python/object/apply:os.system ['touch executed']",
    "itself": "{a: &a [*a]}",
    "number": "9" * 5000,
    "JSON": '{"a": [1, 2',
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_flag_or_variable_is_refused(
    name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    options = [f"--model.tasks={FLAGS[name]}"] if way == "flag" else []
    if way == "variable":
        monkeypatch.setenv("MTL_FIT__MODEL__TASKS", FLAGS[name])
    assert main(["fit", "--config=config.yaml", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {'flag --model.tasks' if way == 'flag' else 'environment variable'}"), line
    assert len(line) < 500 and not Path("executed").exists()


def mutated(content: bytes, draw: random.Random) -> bytes:
    result = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place, end = draw.randrange(len(result)), draw.randrange(1, 20)
        match draw.randrange(4):
            case 0:
                result[place] = draw.randrange(256)
            case 1:
                result[place:place] = draw.choice(TOKENS)
            case 2:
                del result[place : place + end]
            case _:
                result[place:place] = result[end : 3 * end]
    return bytes(result)


def test_random_edits_are_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a shipped config; a few thousand others were tried in development."""
    monkeypatch.chdir(tmp_path)
    draw, content, statuses = random.Random(0), DEMO.read_bytes(), set()
    for number in range(MUTATIONS):
        Path("edited.yaml").write_bytes(mutated(content, draw))
        try:
            status = main(["fit", "--config=edited.yaml", "--print_config"])
        except SystemExit as ended:  # of argparse, which has printed it
            status = int(ended.code or 0)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert status in (0, 2) and len(lines) == status // 2, (number, lines)
        statuses.add(status)
    assert statuses == {0, 2}
