"""Names reach the terminal as text: no escape sequence, no change of direction, no markup."""

import ast
import io
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.live import Live
from rich.table import Table

import mtl_lightning
from mtl_lightning.cli.prediction_lines import to_json
from mtl_lightning.compare.report.markdown import escape
from mtl_lightning.terminal import logs, printable, quoted_path, say
from mtl_lightning.terminal.console import Console

PACKAGE = Path(mtl_lightning.__file__).parent
ORDERS = ["\x1b[31m", "\x9b2J", "\x07", "\r", "\b", "\x7f", "\u202e", "\u2066", "\u2028", "\0"]


@pytest.mark.parametrize("order", ORDERS, ids=ascii)
def test_what_a_terminal_obeys_is_escaped(order):
    shown = printable(f"a{order}b")
    assert order[0] not in shown
    assert shown.startswith("a\\")


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\tand a tab", "中文 é 🦊", "a \\x1b that is text", "क्ष"])
def test_other_text_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("order", [*ORDERS, "[/b]", "[other]", ":smile:"], ids=ascii)
def test_tables_show_every_name_as_it_is(order):
    name, written = f"x{order}y", io.StringIO()
    console = Console(file=written, force_terminal=False, width=80)
    table = Table(title=name)
    table.add_column(name)
    table.add_row(name)
    console.print(table)
    console.print(name, soft_wrap=True)
    with Live(console=console):
        console.print(name)
    assert written.getvalue().count(printable(name)) == 5
    assert printable(written.getvalue()) == written.getvalue()


def test_a_stream_that_cannot_take_a_letter_gets_its_code(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(raw, encoding="ascii"))
    say("über \udcff", error=True)
    assert raw.getvalue() == b"\\xfcber \\udcff\n"


def test_logs_and_warnings_are_printable(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", lambda *args, **kwargs: str(args[0]))
    before = logging.getLogRecordFactory()
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    try:
        logging.setLogRecordFactory(logging.LogRecord)
        logs.guard_terminal()
        logs.guard_terminal()
        record = logging.getLogger("x").makeRecord("x", 30, "", 1, "label %s", ("\x1b[2J",), None)
        assert record.getMessage() == "label \\x1b[2J"
        assert warnings.formatwarning("\x1b[2J", UserWarning, "", 1) == "\\x1b[2J"
    finally:
        logging.setLogRecordFactory(before)


def test_a_traceback_is_printable(capsys):
    try:
        raise KeyError("\u202ea\n") from ValueError("\x1b[2J")
    except KeyError as error:
        logs._show_traceback(KeyError, error, error.__traceback__)
    shown = capsys.readouterr().err
    assert "ValueError: \\x1b[2J" in shown
    assert printable(shown) == shown


PATHS = ["a b", "-x/y", "$(touch pwned)", "a'b", "a\x1bb", "a\nb\\", "\u202ex", "\udcffx", '"', "`id`", "~x", "[b]"]


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_a_printed_path_is_one_word_of_a_shell(path):
    line = quoted_path(path)
    assert printable(line) == line
    shown = subprocess.run(["bash", "-c", f"printf %s {line}"], capture_output=True, check=True).stdout
    assert shown.removeprefix(b"./") == path.encode("utf-8", "surrogateescape")
    assert not shown.startswith(b"-")


@pytest.mark.parametrize("order", ORDERS, ids=ascii)
def test_json_and_markdown_hold_no_order(order):
    found = to_json({order: [order]})
    assert printable(found) == found
    assert ast.literal_eval(found) == {order: [order]}
    assert printable(escape(f"a{order}b")) == escape(f"a{order}b")


def test_all_output_goes_through_one_room():
    """Whoever prints by other means would have to think of all that again."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "terminal" and path.parent.parent == PACKAGE:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stderr.write")), path
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not {"rich.console", "rich.markup", "shlex"} & names, path
