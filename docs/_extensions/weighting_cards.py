"""A card for each exported weighting, and the table of all: a new weighting has its card by itself."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import generated
import weighting_figures as figures
from cards import list_table, option_table, ratio, section
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from weighting_facts import FAMILIES, Facts, facts

from experiments.benchmark.instances import ADAPTED, exported

GENERATED = Path("weightings", "generated")
NOT_MEASURED = "not measured"

_SEES = {
    "losses": "losses",
    "the Gramian of the task gradients": "Gramian",
    "the task gradients themselves": "gradients",
}


def pages() -> dict[str, str]:
    """The text of each generated file: cards in reStructuredText, by weighting, and tables in Markdown."""
    found = [facts(name) for name in exported()]
    order = {family: index for index, family in enumerate(FAMILIES)}
    cards = {f"{one.name}.rst": "\n".join(_card(one)) + "\n" for one in found}
    table = _table(sorted(found, key=lambda one: order[one.family]))
    return {**cards, "table.inc": "\n".join(table) + "\n", "compared.inc": "\n".join(_compared()) + "\n"}


# -- a card --------------------------------------------------------------------------------------------------------
def _card(one: Facts) -> Iterator[str]:
    yield from (one.name, "=" * len(one.name), "", one.summary, "")
    yield from _at_a_glance(one)
    yield from ("", one.description, "", *section("When to use it"))
    yield from (f"**Helps**: {one.labelled['Helps']}", "", f"**Fails**: {one.labelled['Fails']}", "")
    yield from (*section("Options"), *option_table(one.options), "")
    yield from (*section("Measured"), *_cost(one), "", *_behaviour(one), "", *_results(one), "")
    yield from (*section("Paper"), one.labelled["Reference"], "")
    yield from (f"**Difference from the paper**: {one.labelled['Difference']}", "")
    yield from (*section("Example"), "By hand, as in a test:", "", one.example, "")


def _at_a_glance(one: Facts) -> Iterator[str]:
    sees, price = FAMILIES[one.family]
    needs = one.labelled.get("Needs") or "; ".join(one.needs) or "nothing else"
    yield f":Sees: {sees}"
    yield f":Needs: {' '.join(needs.split())}"
    yield f":A step takes: {price}"
    yield f":Defined for: {one.domain}"
    yield f":State: {', '.join(one.state) or 'none'}"
    yield f":In a config: ``weighting: {one.name}``"
    yield f":Class: :class:`mtl_lightning.weighting.{one.name}`"


def _cost(one: Facts) -> Iterator[str]:
    found = figures.cost(one.name)
    adapted = f" Measured with TorchJD's ``{ADAPTED[one.name]}``." if one.name in ADAPTED else ""
    if found is None:
        yield f"Cost: {NOT_MEASURED}; ``{figures.COMMAND}`` does."
        return
    yield f"Cost of a step for four tasks, relative to equal weighting.{adapted}"
    yield ""
    rows = [(key.replace("_", " "), ratio(found["time"][key]), ratio(found["memory"][key])) for key in found["time"]]
    yield from list_table(("four tasks on", "time", "peak memory"), rows)
    yield ""
    yield f"({found['date']}, {found['machine']}; ``{figures.COMMAND}``.)"


def _behaviour(one: Facts) -> Iterator[str]:
    if found := figures.cost(one.name):
        yield (
            f"In {found['conflicts']:,} random conflicts between four tasks, the first step increases the loss of some "
            f"task in {100 * found['increases']:.0f} %. When one loss is multiplied by 100, the first direction turns "
            f"by {found['turns']:.0f} degrees (median)."
        )


def _results(one: Facts) -> Iterator[str]:
    reached = figures.toy(one.name)
    toy = NOT_MEASURED if reached is None else f"{reached[0]} of {reached[1]} starts reach the Pareto front"
    rows = [("``experiments/toy``: two losses of two parameters, five starts", toy, "")]
    compared = {experiment: (delta, verdict) for experiment, delta, verdict in figures.compared(one.name)}
    for experiment, setting in figures.COMPARED.items():
        delta, verdict = compared.get(experiment, (NOT_MEASURED, ""))
        equal = figures.contestants(experiment)["equal"]["Δm % (tasks)"]
        shown = delta if delta == NOT_MEASURED else f"Δm {delta} % (equal weights: {equal} %)"
        rows.append((f"``experiments/{experiment}``: {setting}", shown, verdict))
    yield from list_table(("experiment", "result", "against equal weights"), rows)


# -- the table of all ----------------------------------------------------------------------------------------------
def _table(all_of_them: Sequence[Facts]) -> Iterator[str]:
    yield "| method | sees | paper | keeps | time, one input | time, several inputs |"
    yield "|---|---|---|---|---|---|"
    for one in all_of_them:
        found = figures.cost(one.name)
        times = [ratio(value) for value in found["time"].values()] if found else [NOT_MEASURED] * 2
        cells = [
            f"[{one.name}](generated/{one.name}.rst)",
            _SEES[FAMILIES[one.family][0]],
            one.paper,
            _keeps(one),
            *times,
        ]
        yield f"| {' | '.join(cells)} |"


def _keeps(one: Facts) -> str:
    if any("P" in text.partition("[")[2] for text in one.state):
        return "K gradients"
    return "little" if one.state else "nothing"


def _compared() -> Iterator[str]:
    """Every contestant of every comparison, in the order of the first one that has it."""
    reports = [figures.contestants(experiment) for experiment in figures.COMPARED]
    yield f"| | {' | '.join(figures.COMPARED)} |"
    yield f"|---|{'---|' * len(reports)}"
    for contestant in dict.fromkeys(name for report in reports for name in report):
        yield f"| {contestant} | {' | '.join(_outcome(report.get(contestant)) for report in reports)} |"


def _outcome(row: Mapping[str, str] | None) -> str:
    if row is None:
        return ""
    verdict = row["against equal"]
    shown = "" if verdict in {"reference", "no difference shown"} else f", {verdict}"
    return f"{row['Δm % (tasks)']}{shown}"


def _write(app: Sphinx) -> None:
    generated.write(app.srcdir / GENERATED, pages())


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
