"""CODAH: which of four endings makes sense."""

from collections.abc import Iterator
from pathlib import Path

from experiments.data.lines import cells
from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import json_lines

_FOLDS = range(5)


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A question a row: categories, prompt, endings, the position of the right one. Its fold is where it is tested."""
    tested = {fold: cells(folder / f"data/cv_split/fold_{fold}/test.tsv") for fold in _FOLDS}
    fold_of = {tuple(row): fold for fold, rows in tested.items() for row in rows}
    questions = cells(folder / "data/full_data.tsv")
    yield "all.jsonl", json_lines(_question(n, fold_of[tuple(row)], row) for n, row in enumerate(questions))


def _question(number: int, fold: int, row: list[str]) -> dict[str, object]:
    category, prompt, *choices, label = row
    question = {"id": number, "fold": fold, "category": category, "prompt": prompt}
    return {**question, "choices": choices, "label": int(label)}


RECIPE = Recipe(
    name="codah",
    about="2,776 questions of common sense: which of four endings is right, in five folds.",
    licence="ODC-BY 1.0",
    citation="Chen et al., CODAH: An Adversarially-Authored Question Answering Dataset for Common Sense, 2019",
    sources=(
        github(
            "Websail-NU/CODAH",
            "acf7ffa4041ade86c6f7dd2f92fb08c957350280",
            {
                "data/full_data.tsv": "96689f2abf2f09eb91af50e2d8f92bb553e157601908a1cee83fe68670b5c3ea",
                "data/cv_split/fold_0/test.tsv": "2065089015df59d7cf0328bdd32a9e2088ff66ab9639d926acf26a3b0203454e",
                "data/cv_split/fold_1/test.tsv": "0f63cf4b30a7bd01f44f466cfa072bd99156e9f9a9042ac659f87b11e9bdbebb",
                "data/cv_split/fold_2/test.tsv": "285996f708245858789a9a99740de07cb20c33b8fb071e772a047907727ed0ac",
                "data/cv_split/fold_3/test.tsv": "eb91713dd8aaca7bf7997168bd072ea0aa55c947c91e6f0869f48a2904a3c8fd",
                "data/cv_split/fold_4/test.tsv": "96c69a4240e6b0ef1f2364aeaa9d549e1b36188814f63d52bbc678a57b855923",
            },
        ),
    ),
    convert=convert,
    files={
        "all.jsonl": "d1af6a52bff31db14a9e82ce6b44072a04709836ef46898bbc5478f5d7253b03",
    },
    size=725_612,
)
