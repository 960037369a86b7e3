"""Finds mistakes in the configs before anything is run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mtl_lightning.cli.configuration.plain_yaml import dump_yaml
from mtl_lightning.cli.data_files import missing_files
from mtl_lightning.cli.resolved import resolved
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.compare.running.store import Store
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import Interrupted
from mtl_lightning.writing import temporary_folder, write_whole

PLACE = re.compile(r"^\S+, line \d+: ")
"""How a message begins that names a line of a file; it is left out where the user did not write the file."""


def check(plan: Plan, store: Store, context: Any) -> None:
    """Reads the config of every contestant as its runs will read it, and compares ours with what ``fit`` would run.

    Args:
        plan: Of the comparison.
        store: Knows which contestants have no run left to do.
        context: Of ``multiprocessing``: the check needs all that a run imports.

    Raises:
        UserError: If a config is wrong, or is not what ``fit`` makes of the same files and flags, or if runs on this
            machine would find no data.
    """
    files = [option for file in plan.settings.config for option in ("--config", file)]
    configs = []
    with temporary_folder() as folder:
        for number, contestant in enumerate(plan.contestants):
            runs = plan.runs(contestant)
            if plan.settings.tune or not all(map(store.is_done, runs)):
                options = _as_file(runs[0].config, folder / f"{number}.yaml")
                configs.append((f"contestant '{contestant.label}': ", options))
        if configs:
            ours = _as_file(plan.base, folder / "base.yaml")
            here = plan.settings.launcher == "local"
            if problem := _in_process(context, [*files, *plan.settings.flags], ours, configs, here):
                raise UserError(problem)


def difference(theirs: Any, ours: Any, key: str = "") -> str:
    """The first difference of two resolved configs: key, what ``fit`` and what ``compare`` makes of it; or nothing."""
    if not (isinstance(theirs, Mapping) and isinstance(ours, Mapping)):
        return "" if _equal(theirs, ours) else f"'{key}': fit reads {theirs!r}, compare {ours!r}"
    parts = [part for part in {**theirs, **ours} if part != "init_args"]
    parts += [part for part in ("init_args",) if part in theirs or part in ours]  # the class says more
    found = (difference(theirs.get(part), ours.get(part), f"{key}.{part}".strip(".")) for part in parts)
    return next(filter(None, found), "")


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same: also not-a-number twice, or a number and the word for it where both will do."""
    if isinstance(one, str) is not isinstance(other, str):
        return str(one) == str(other)
    return type(one) is type(other) and (one == other or (one != one and other != other))


def _as_file(config: Mapping[str, Any], file: Path) -> list[str]:
    write_whole(file, dump_yaml(config))
    return ["--config", str(file)]


def _in_process(context: Any, *what: Any) -> str:
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send_problem, args=(there, *what))
    process.start()
    there.close()
    try:
        return str(here.recv())
    except EOFError as error:
        raise UserError("the configs could not be read; see above") from error
    except Interrupted:
        process.kill()
        raise
    finally:
        process.join()


def _send_problem(
    result: Connection, given: Sequence[str], ours: Sequence[str], configs: Sequence[tuple[str, list[str]]], here: bool
) -> None:
    problem = next(problems(given, ours, configs, here), "")
    with suppress(BrokenPipeError):  # the comparison was killed meanwhile
        result.send(problem)


def problems(
    given: Sequence[str], ours: Sequence[str], configs: Sequence[tuple[str, list[str]]], here: bool = False
) -> Iterator[str]:
    """What is wrong, the first thing first.

    Args:
        given: Options of ``fit`` that the user gave.
        ours: Options of ``fit`` with the config that was made of them.
        configs: What each contestant is called, and options of ``fit`` with its config.
        here: Whether the runs are done on this machine, whose files they read.
    """
    theirs, problem = resolved(given)
    if problem:
        yield problem
    read, problem = resolved(ours)
    different = PLACE.sub("", problem) or difference(theirs, read)
    if different:
        yield f"compare reads the config differently from fit: {different}; write it out in full in the last file"
    elif here and (missing := missing_files(read["data"]["datasets"])):
        yield missing
    for whose, options in configs:
        if problem := resolved(options)[1]:
            yield whose + PLACE.sub("", problem)
