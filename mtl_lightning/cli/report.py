"""Tables of results for people."""

import json

from rich.table import Table

from mtl_lightning.cli.outputs import Output
from mtl_lightning.tasks import Task
from mtl_lightning.terminal.console import Console
from mtl_lightning.training.evaluation import Results
from mtl_lightning.writing import writing

_MAX_LABELS = 40


def print_results(results: Results, tasks: dict[str, Task], title: str, per_label: bool = False) -> None:
    """Prints the metrics of each task, its main one by data set too, their average and, if asked, a report per label.

    Args:
        results: What was found.
        tasks: The tasks, by name.
        title: Above the table.
        per_label: Whether to print precision, recall, F1 and support of each label.
    """
    console = Console()
    table = Table()
    table.add_column("task")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, metrics in results.metrics.items():
        main = tasks[name].main_metric
        for row, (metric, value) in enumerate(metrics.items()):
            star = " *" if metric == main else ""
            table.add_row(name if row == 0 else "", tasks[name].describe(metric) + star, f"{value:.4f}")
        for dataset, scores in results.by_dataset.get(name, {}).items():
            table.add_row("", f"{tasks[name].describe(main)} on {dataset}", f"{scores[main]:.4f}")
        table.add_section()
    for dataset, value in results.joint.items():
        table.add_row(dataset, "all tasks right", f"{value:.4f}")
    table.add_row("average", "of *", f"{results.average:.4f}", style="bold")
    _print_under(title, table, console)
    for name, report in results.reports.items() if per_label else ():
        if report:
            _print_under(f"{name}: per label", _report_table(report), console)
            if len(report) > _MAX_LABELS:
                console.print(f"… and {len(report) - _MAX_LABELS} more labels, rarer than these")


def write_json(results: Results, path: str) -> None:
    """Writes ``{"<task>": {"<metric>": value, …}, …, "average": value}``."""
    output = Output(path, "--json")
    with writing(path, "--json"):
        output.file.write(json.dumps(results.to_json(), indent=2) + "\n")
        output.finish()


def _print_under(title: str, table: Table, console: Console) -> None:
    """Prints a table under its title, which rich would wrap where the table is narrow."""
    console.print(title, style="table.title", soft_wrap=True)
    console.print(table)


def _report_table(report: dict[str, dict[str, float]]) -> Table:
    table = Table()
    table.add_column("label")
    for column in ("precision", "recall", "F1", "support"):
        table.add_column(column, justify="right")
    rows = sorted(report.items(), key=lambda row: -row[1]["support"])[:_MAX_LABELS]
    for label, row in rows:
        scores = [f"{row[name]:.3f}" for name in ("precision", "recall", "f1")]
        table.add_row(label, *scores, f"{row['support']:.0f}")
    return table
