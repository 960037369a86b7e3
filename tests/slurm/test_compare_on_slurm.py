"""A comparison whose runs are jobs of a real SLURM."""

import json
from pathlib import Path

from test_submit import TINY

import mtl_lightning
from mtl_lightning.__main__ import main


def test_a_comparison_submits_its_runs_and_reports(slurm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(mtl_lightning.__file__).parents[1]))
    line = ["compare", "--weightings=equal", "--single_task=false", "--seeds=1", "--probe=0", "--output=out", *TINY]
    assert main([*line, "--launcher=slurm", "--time_limit=10"]) == 0, capsys.readouterr()
    (run,) = Path("out", "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
    assert json.loads((run / "job.json").read_text())["id"].isdigit()
    assert Path("out", "report.html").exists()
