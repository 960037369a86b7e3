"""The benchmark runs and writes what readers of its rows expect; how fast it is depends on the machine."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEYS = {"workload", "contestant", "tasks", "time_ratio", "memory_ratio"}


def test_quick_run_writes_a_row_for_each_contestant(tmp_path: Path) -> None:
    output = tmp_path / "new" / "rows.json"
    command = [sys.executable, "-m", "experiments.benchmark", "--quick", "--output", str(output)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(output.read_text("utf-8"))
    assert all(set(row) == KEYS for row in rows)
    assert [(row["workload"], row["contestant"], row["tasks"]) for row in rows] == [
        ("one data set", "bare loop", 2),
        ("one data set", "EqualWeighting", 2),
        ("several data sets", "bare loop", 4),
        ("several data sets", "EqualWeighting", 4),
        ("several data sets", "gramian (ones)", 4),
    ]
    for row in rows:
        assert row["time_ratio"] > 0
        assert row["memory_ratio"] > 0
        if row["contestant"] == "bare loop":
            assert (row["time_ratio"], row["memory_ratio"]) == (1.0, 1.0)
        assert row["contestant"] in ran.stdout
