"""The evaluation at the end of a run stands apart from the curve of the validations."""

import csv

import pytest
import tiny


@pytest.mark.parametrize(("evaluate", "columns"), [("val", 0), ("test", 1)])
def test_the_curve_has_one_point_for_each_validation(evaluate, columns, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    assert tiny.fit("run", f"--evaluate={evaluate}", "--json=scores.json") == 0
    with open("run/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["val/average"]]) == 2
    assert len([row for row in rows if row.get("test/average")]) == columns
    assert (tmp_path / "scores.json").exists()
