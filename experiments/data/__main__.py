"""Fetches public data sets for the shipped configs and experiments: ``python -m experiments.data NAME…``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from experiments.data.about import listing
from experiments.data.command import make
from experiments.data.place import data_folder
from experiments.data.recipes import RECIPES
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.terminal import say

LIST = "list"

_ABOUT = (
    "Fetches public data sets, which the shipped configs and experiments read, and writes each to a folder of its own."
)

_READER_LEFT = 128 + 13
"""Exit status of a program that SIGPIPE ends, as in ``list | head``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the data sets that are named, or lists them all; the exit status."""
    try:
        options = _parser().parse_args(arguments)
        unknown = [name for name in options.names if name not in (*RECIPES, LIST)]
        if unknown:
            raise UserError(
                f"no data set '{unknown[0]}'; {did_you_mean(unknown[0], [*RECIPES, LIST])}; `list` shows all"
            )
        if LIST in options.names or not options.names:
            say(listing(RECIPES.values()))
        failed = [name for name in dict.fromkeys(options.names) if name != LIST and not _made(name, options)]
        sys.stdout.flush()
    except UserError as error:
        _say(error)
        return 2
    except KeyboardInterrupt:
        _say("interrupted; what was downloaded is kept: run the same command again to resume")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_LEFT
    return 2 if failed else 0


def _made(name: str, options: argparse.Namespace) -> bool:
    """Whether a data set is there now; if not, it was said why: the others are made all the same."""
    try:
        make(RECIPES[name], options.to, options.checkout)
    except UserError as error:
        _say(error)
        return False
    except BrokenPipeError:
        raise
    except OSError as error:  # whatever is written says so itself
        _say(f"cannot read {error.filename}: {error.strerror}")
        return False
    return True


def _say(error: object) -> None:
    say(f"error: {error}", error=True)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m experiments.data", description=_ABOUT, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a data set, or `list`: shows them all")
    parser.add_argument(
        "--from",
        dest="checkout",
        type=Path,
        metavar="FOLDER",
        help="a checkout of the source, or a folder of checkouts, instead of the network",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        default=data_folder(),
        help="where NAME/ is written (default: the environment variable MTL_DATA, or else `data`)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
