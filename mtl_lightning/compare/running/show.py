"""The plan, as it is printed before anything is run."""

from pathlib import Path

import yaml
from rich.table import Table

from mtl_lightning.compare.planning.catalogue import Range
from mtl_lightning.compare.planning.contestants import Contestant
from mtl_lightning.compare.planning.folds import plan_line
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.store import Store
from mtl_lightning.terminal.console import Console


def show_plan(plan: Plan, store: Store, folder: Path, console: Console) -> None:
    """Prints what will be run.

    Args:
        plan: Of the comparison.
        store: Its runs.
        folder: Where they are.
        console: Where to print.
    """
    settings = plan.settings
    table = Table(title=f"{plan.name}: tasks {', '.join(plan.tasks)}", title_justify="left")
    for column in ("contestant", "changes", *(["searched"] if settings.tune else []), "runs", "done"):
        table.add_column(column, justify="right" if column in ("runs", "done") else "left")
    for contestant in plan.contestants:
        runs = plan.runs(contestant)
        done = "" if settings.tune else str(sum(map(store.is_done, runs)) or "")
        searched = [_searched(contestant)] if settings.tune else []
        table.add_row(contestant.label, _changes(contestant, settings), *searched, str(len(runs)), done)
    console.print(table)
    if settings.folds is not None:
        console.print(plan_line(plan.base, settings.folds), soft_wrap=True)
    reported = len(plan.all_runs())
    search = f" and {plan.num_runs() - reported} of the search" if settings.tune else ""
    console.print(f"{reported} runs{search}, scored on the {settings.split} split, in {folder}", soft_wrap=True)


def _changes(contestant: Contestant, settings: Settings) -> str:
    if contestant.tasks:
        return f"only {' + '.join(contestant.tasks)}"
    changes = settings.variants.get(contestant.name, contestant.changes)
    parts = [f"{key.removeprefix('model.')}: {_brief(value)}" for key, value in changes.items()]
    return ", ".join([*parts, *([f"asked for {len(contestant.asked)} preferences"] if contestant.asked else [])])


def _brief(value: object) -> str:
    if isinstance(value, dict) and "class_path" in value:
        return str(value["class_path"])
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000).removesuffix("\n...\n").strip()
    )


def _searched(contestant: Contestant) -> str:
    parts = []
    for key, spec in contestant.searched.items():
        of = f"{spec.low:g} to {spec.high:g}" if isinstance(spec, Range) else ", ".join(map(str, spec.values))
        parts.append(f"{key.rsplit('.', 1)[-1]} {of}")
    return "; ".join(parts)
