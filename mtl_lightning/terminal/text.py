"""Text that a terminal shows as it is."""

import os
import re
import shlex
import sys
from collections.abc import Iterable

_ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, changes of the direction of writing, other line ends, broken characters."""


def printable(text: str) -> str:
    r"""The text with escapes for all that a terminal would obey instead of showing it; line feeds and tabs stay.

    >>> printable("red\x1b[31m, back\x08, \u202efdp.exe")
    'red\\x1b[31m, back\\x08, \\u202efdp.exe'
    """
    return _ORDERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    r"""JSON that says the same without a character that a terminal would obey; they occur in its strings alone.

    >>> printable_json('{"\u202e": "\x9b"}')
    '{"\\u202e": "\\u009b"}'
    """
    return _ORDERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str, error: bool = False) -> None:
    """Prints lines.

    Args:
        text: May hold names that come from anywhere.
        error: Whether they go to the standard error, rather than to the standard output.
    """
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=error)


def quoted_path(path: str | os.PathLike[str]) -> str:
    r"""A path as a word of a shell's line: quoted where needed, and never taken for an option.

    >>> quoted_path("my runs/best.ckpt"), quoted_path("-x/best.ckpt"), quoted_path("a\x1b'b")
    ("'my runs/best.ckpt'", './-x/best.ckpt', "$'a\\x1b\\'b'")
    """
    text = os.fspath(path)
    return quoted(f"./{text}" if text.startswith("-") else text)


def quoted(text: str) -> str:
    r"""A text as a word of a shell's line.

    >>> quoted("a b"), quoted("--x=1"), quoted("a\nb")
    ("'a b'", '--x=1', "$'a\\nb'")
    """
    if printable(text) == text and "\n" not in text:
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def quoted_line(words: Iterable[str]) -> str:
    """Words as a shell's line."""
    return " ".join(map(quoted, words))


def _escaped(letter: str) -> str:
    """A character inside ``$'…'`` of a shell; a byte of a file name that is no UTF-8 is a surrogate in Python."""
    if letter in "\\'":
        return f"\\{letter}"
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
