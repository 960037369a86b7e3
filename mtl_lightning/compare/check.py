"""Finds mistakes in the configs before anything is run."""

import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mtl_lightning.compare.plan import Plan
from mtl_lightning.compare.store import Store
from mtl_lightning.errors import UserError

_PLACE = re.compile(r"^\S+, line \d+: ")  # in a file that the user did not write


def check(plan: Plan, store: Store, context: Any) -> None:
    """Reads the config of every contestant as its runs will read it.

    Args:
        plan: Of the comparison.
        store: Knows which contestants have no run left to do.
        context: Of ``multiprocessing``: the check needs all that a run imports.

    Raises:
        UserError: If a config is wrong.
    """
    base = [option for file in plan.settings.config for option in ("--config", file)]
    configs = [("", [*base, *plan.settings.flags])]
    with TemporaryDirectory() as folder:
        for number, contestant in enumerate(plan.contestants):
            runs = plan.runs(contestant)
            if plan.settings.tune or not all(map(store.is_done, runs)):
                file = Path(folder, f"{number}.yaml")
                file.write_text(yaml.safe_dump(runs[0].config, allow_unicode=True), "utf-8")
                configs.append((f"contestant '{contestant.label}': ", ["--config", str(file)]))
        if problem := _in_process(context, configs if len(configs) > 1 else []):
            raise UserError(problem)


def _in_process(context: Any, configs: list[tuple[str, list[str]]]) -> str:
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_first_problem, args=(configs, there))
    process.start()
    there.close()
    try:
        return str(here.recv())
    except EOFError as error:
        raise UserError("the configs could not be read; see above") from error
    finally:
        process.join()


def _first_problem(configs: list[tuple[str, list[str]]], result: Connection) -> None:
    from mtl_lightning.cli import run

    for whose, options in configs:
        errors = StringIO()
        with open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing), redirect_stderr(errors):
            code = 0
            with suppress(SystemExit):  # how `--print_config` ends
                code = run(["fit", *options, "--print_config"])
        if code:
            lines = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
            problem = lines[-1].removeprefix("error: ") if lines else errors.getvalue()
            result.send(whose + (_PLACE.sub("", problem) if whose else problem))
            return
        sys.stderr.write(errors.getvalue())
    result.send("")
