"""The experiment that measures weightings on an adapter's gradients runs, and writes what it prints."""

import json
from pathlib import Path

from experiments.adapters.__main__ import WEIGHTINGS, main


def test_it_measures_each_weighting(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    main(["--width", "16", "--layers", "1", "--rounds", "2", "--output", str(file)])
    rows = json.loads(file.read_text())["rows"]
    assert rows.keys() == WEIGHTINGS.keys()
    assert rows["EqualWeighting"]["ratio"] == 1
    assert all(row["seconds"] > 0 for row in rows.values())
