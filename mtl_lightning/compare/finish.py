"""Runs a comparison and writes its report."""

import os
from pathlib import Path

from rich.console import Console

from mtl_lightning.compare.agenda import Agenda
from mtl_lightning.compare.check import check
from mtl_lightning.compare.collect import collect
from mtl_lightning.compare.conduct import conduct
from mtl_lightning.compare.launchers import LocalLauncher, launcher, processes
from mtl_lightning.compare.plan import Plan
from mtl_lightning.compare.progress import Progress
from mtl_lightning.compare.report import write_report
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.store import Store


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
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(plan.settings.threads)
    check(plan, store, processes())
    runner = launcher(plan.settings, folder)
    agenda = Agenda(plan, store)
    ended = conduct(agenda, store, runner, Progress(plan, store, console))
    workers = runner.workers if isinstance(runner, LocalLauncher) else 0
    evidence = collect(plan, store, agenda, workers)
    if evidence.scores.empty:
        console.print("No run has finished, so there is nothing to report yet.")
        return 1 if ended else 130
    written = write_report(evidence, summarise(evidence), folder)
    page = next(path for path in written if path.suffix == ".html")
    console.print((folder / "report.md").read_text("utf-8").split("\n\n")[1], highlight=False, soft_wrap=True)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    if not ended:
        console.print("It is not complete; the same command goes on.")
    return 0 if ended else 130
