"""Runs a comparison and writes its report."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from filelock import FileLock

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.evidence.collect import collect
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.compare.report import write_report
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.check import check
from mtl_lightning.compare.running.conduct import conduct
from mtl_lightning.compare.running.launchers import LocalLauncher, launcher, prepare_processes, processes
from mtl_lightning.compare.running.progress import Progress
from mtl_lightning.compare.running.store import Store
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.tracking import contestants_table, log_summary
from mtl_lightning.errors import UserError
from mtl_lightning.terminal.console import Console

_REPORTING = ".reporting"


def run_and_report(plan: Plan, store: Store, folder: Path, console: Console) -> int:
    """Does all runs that are not done, and reports on all that have finished.

    Args:
        plan: Of the comparison.
        store: Its runs.
        folder: Where runs and report are.
        console: Where to print.

    Returns:
        The exit status.
    """
    if find_spec("matplotlib") is None:
        raise UserError("compare draws its report with matplotlib: pip install 'mtl-lightning[compare]'")
    prepare_processes(plan.settings)
    with store.locked():
        check(plan, store, processes())
        runner = launcher(plan, folder)
        agenda = Agenda(plan, store, plan.settings.share)
        stopped = conduct(agenda, store, runner, Progress(plan, store, console))
        workers = runner.workers if isinstance(runner, LocalLauncher) else 0
        with FileLock(folder / _REPORTING):  # those that share a comparison end at the same time
            reported = _report(plan, collect(plan, store, agenda, workers), folder, console)
        failed = 0 if stopped else len(agenda.to_repeat())
    if failed:
        _say(console, f"{failed} of {len(agenda.known())} runs failed; the same command tries them again.")
    if reported and stopped:
        _say(console, "The comparison is not complete; the same command resumes it.")
    return stopped or (0 if reported else 1)


def _report(plan: Plan, evidence: Evidence, folder: Path, console: Console) -> bool:
    """Writes and logs the report, and prints what it says; false where there is nothing to report."""
    if evidence.scores.empty:
        _say(console, "No run has finished, so there is nothing to report yet.")
        return False
    summary = summarise(evidence)
    written = write_report(evidence, summary, folder)
    _log(plan, folder, contestants_table(evidence, summary), written)
    _say(console, (folder / "report.md").read_text("utf-8").split("\n\n")[1])
    _say(console, f"Report: {folder / 'report.html'}")
    return True


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)


def _log(plan: Plan, folder: Path, table: pd.DataFrame, files: Sequence[Path]) -> None:
    """Logs the summary from a process like that of the runs, which has imported what it takes."""
    mode, project = str(plan.base.get("wandb", "auto")), str(plan.base.get("project", "mtl_lightning"))
    arguments = (str(folder), plan.name, project, mode, table, [str(file) for file in files])
    process = processes().Process(target=log_summary, args=arguments)
    process.start()
    process.join()
