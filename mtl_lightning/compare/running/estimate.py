"""How long a comparison will take: by the runs that have finished, or by a few steps of one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_lightning.cli.configuration.plain_yaml import dump_yaml
from mtl_lightning.compare.planning.catalogue import WEIGHTINGS
from mtl_lightning.compare.planning.configs import class_path, get_value, set_value
from mtl_lightning.compare.planning.contestants import Contestant
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.check import PLACE, check
from mtl_lightning.compare.running.launchers import local_launcher, prepare_processes, processes
from mtl_lightning.compare.running.records import read_json
from mtl_lightning.compare.running.store import FIT, LOG, PROBED, Store
from mtl_lightning.duration import duration
from mtl_lightning.errors import UserError
from mtl_lightning.terminal.console import Console
from mtl_lightning.writing import temporary_folder, write_whole

_PROBE = "mtl_lightning.compare.running.run.probe.Probe"


def show_estimate(plan: Plan, store: Store, console: Console) -> None:
    """Prints how long the runs that are not done will take.

    Args:
        plan: Of the comparison.
        store: Its runs.
        console: Where to print.
    """
    agenda = Agenda(plan, store)
    results = ((run.contestant, store.result(run) or {}) for run in agenda.known())
    took = [(contestant, result["seconds"]) for contestant, result in results if result.get("status") == "finished"]
    if took:
        unit = sum(seconds / _share(plan, contestant) for contestant, seconds in took) / len(took)
        basis = f"{len(took)} runs that have finished"
    else:
        prepare_processes(plan.settings)
        check(plan, store, processes())
        unit, basis = _probed(plan), f"a few steps of {plan.reference}"
    known = {contestant.label: seconds for contestant, seconds in took}
    left = list(agenda.left())
    number = sum(runs for _, runs in left)
    seconds = sum(runs * known.get(c.label, unit * _share(plan, c)) for c, runs in left)
    workers = local_launcher(plan).workers if plan.settings.launcher == "local" else plan.settings.workers or 1
    console.print(
        f"About {duration(seconds / workers)} for the {number} remaining runs, {workers} at a time "
        f"({duration(seconds)} of computing), estimated from {basis}.",
        soft_wrap=True,
    )


def _share(plan: Plan, contestant: Contestant) -> float:
    """What a run takes, in runs of equal weighting: K passes back for each pass forward, for those data sets it sees.

    A backward pass is taken to cost two forward passes.
    """
    config = plan.runs(contestant)[0].config
    datasets = get_value(config, "data.datasets") or {}
    tasks = list(config["model"]["tasks"])
    name = class_path(get_value(config, "model.weighting")) or "EqualWeighting"
    once = name not in WEIGHTINGS or WEIGHTINGS[name].family == "loss"
    labelled = [sum(task in _labels(source, tasks) for task in tasks) for source in datasets.values()]
    costs = [(1 + 2 * (1 if once else number)) / 3 for number in labelled if number]
    return sum(costs) / max(1, len(datasets))


def _labels(source: Any, tasks: list[str]) -> list[str]:
    return list(get_value({"source": source}, "source.labels") or tasks)


def _probed(plan: Plan) -> float:
    """Seconds of a run of the reference, from a few of its steps."""
    contestant = next(c for c in plan.contestants if c.name == plan.reference)
    config = plan.runs(contestant)[0].config
    set_value(config, "trainer.callbacks+", {"class_path": _PROBE})
    config["wandb"] = "off"
    with temporary_folder() as folder:
        write_whole(folder / FIT, dump_yaml(config))
        process = processes().Process(target=_fit, args=(str(folder), plan.settings.threads))
        process.start()
        process.join()
        probed: Mapping[str, float] | None = read_json(folder / "run" / PROBED)
        if probed is None:
            log = (folder / LOG).read_text("utf-8", errors="replace")
            lines = [line for line in log.splitlines() if line.strip()]
            wrong = [line for line in lines if line.startswith("error: ")] or lines[-1:]
            message = PLACE.sub("", " ".join(wrong).removeprefix("error: "))
            raise UserError(message or "the timed steps ended without a message")
    return probed["start"] + probed["steps"] * probed["step"] + probed["evaluations"] * probed["evaluation"]


def _fit(folder: str, threads: int) -> None:
    import torch

    from mtl_lightning.cli.command import run
    from mtl_lightning.compare.running.run.execute import output_to, start_processes_as_usual

    start_processes_as_usual()
    torch.set_num_threads(threads)
    with output_to(Path(folder, LOG)):
        run(["fit", "--config", f"{folder}/{FIT}", "--trainer.default_root_dir", f"{folder}/run"])
