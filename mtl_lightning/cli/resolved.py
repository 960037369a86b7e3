"""What ``fit`` makes of its options, without running it."""

from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from typing import Any

import yaml

from mtl_lightning.terminal import say


def resolved(options: Sequence[str]) -> tuple[Any, str]:
    """The whole config that ``fit`` makes of its options, and what is wrong with them.

    Args:
        options: Of ``fit``.
    """
    from mtl_lightning.cli.command import run

    printed, errors, code = StringIO(), StringIO(), 0
    with redirect_stdout(printed), redirect_stderr(errors), suppress(SystemExit):  # how `--print_config` ends
        code = run(["fit", *options, "--print_config"])
    if code:
        lines = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
        return None, lines[-1].removeprefix("error: ") if lines else errors.getvalue()
    if said := errors.getvalue().rstrip("\n"):
        say(said, error=True)
    return yaml.safe_load(printed.getvalue()), ""
