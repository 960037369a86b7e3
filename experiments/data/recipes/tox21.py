"""Tox21: the toxicity of molecules in twelve assays, of which most molecules lack some."""

import csv
from collections.abc import Iterator
from pathlib import Path

from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import tsv


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A molecule a row: SMILES, then 0, 1 or nothing for each assay."""
    with (folder / "data/tox21.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    yield "all.tsv.gz", tsv(header, rows)


RECIPE = Recipe(
    name="tox21",
    about="7,831 molecules in SMILES: active or not in 12 assays, 7 to 26 % of whose labels are missing. No split.",
    licence="public data of the NIH and the EPA (the repository that has the table, chemprop: MIT)",
    citation="Wu et al., MoleculeNet: a benchmark for molecular machine learning, Chemical Science 9, 2018",
    sources=(
        github(
            "chemprop/chemprop",
            "f814b63ee66d574d9357366bf6c08c11a1b24478",
            {
                "data/tox21.csv": "b58cc1f683e78e3c7a1bf7116e9aac0119804018d100f7b8cdb0857941c31aca",
            },
        ),
    ),
    convert=convert,
    files={
        "all.tsv.gz": "5f9a604bc31bca6f82cd55e896dd89d9575c886f686110802cb25fcbbc98d626",
    },
    size=93_032,
)
