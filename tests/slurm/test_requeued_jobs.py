"""A job on two nodes that is preempted ends as if it had never been; see also ``tests/unit/cluster``."""

import csv
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import launch
import tiny
import torch
import yaml
from patience import PATIENCE

SCRIPT = """\
#!/bin/bash
srun {python} -m mtl_lightning fit --config job.yaml --trainer.default_root_dir job
"""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def config(steps: list[int], signals: list[str]) -> dict[str, Any]:
    """Two data sets, a weighting with a state, workers."""
    found: dict[str, Any] = json.loads(json.dumps(tiny.CONFIG))
    other = json.loads(json.dumps(found["data"]["datasets"]["d"]))
    other["init_args"]["labels"] = {"cls": "x"}
    found["data"] |= {"datasets": {"d": found["data"]["datasets"]["d"], "e": other}, "batch_size": 2, "num_workers": 1}
    found["model"]["weighting"] = "FAMO"
    callback = {"class_path": "preempting.Preempted", "init_args": {"steps": steps, "signals": signals}}
    found["trainer"] |= {"strategy": "ddp", "devices": 1, "num_nodes": 2, "max_epochs": 4, "callbacks": [callback]}
    return found | {"evaluate": "none"}


def submit(folder: Path, *options: str) -> str:
    (folder / "job.sh").write_text(SCRIPT.format(python=sys.executable))
    line = ["sbatch", "--parsable", "-N2", "--ntasks-per-node=1", "--requeue", "--open-mode=append", "-oout", *options]
    return subprocess.run([*line, "job.sh"], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def wait(job: str, folder: Path) -> None:
    limit = time.monotonic() + 4 * PATIENCE
    while not (state := _state(job)).startswith(ENDED):
        assert time.monotonic() < limit, f"{state}\n{(folder / 'out').read_text()}"
        time.sleep(0.2)
    assert state == "COMPLETED", (folder / "out").read_text()


def _state(job: str) -> str:
    line = ["squeue", "-h", "-t", "all", "-o", "%T", "-j", job]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


def saved(folder: Path) -> Any:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def logged(folder: Path) -> Counter[tuple[str, str, str]]:
    """How often each value was logged: step, name, value."""
    rows = [row for path in folder.glob("metrics*.csv") for row in csv.DictReader(path.read_text().splitlines())]
    return Counter((row["step"], name, row[name]) for row in rows for name in row if row[name] and name not in OWN)


OWN = (
    *("step", "train/data_wait", "train/examples_per_second", "train/tokens_per_second"),
    *("train/bytes_sent", "train/exchanges"),  # the first step of a start has more
)
"""What is each start's own."""


def compare(folder: Path, signals: list[str], *options: str, steps: list[int]) -> str:
    tiny.write(folder)
    (folder / "job.yaml").write_text(yaml.safe_dump(config(steps, signals)))
    job = submit(folder, *options)
    flags = ["--config=job.yaml", "--trainer.default_root_dir=whole", "--trainer.num_nodes=1", "--trainer.devices=2"]
    whole = [process.finish() for process in launch.start(2, "fit", *flags, cwd=folder)]
    assert [process.returncode for process in whole] == [0, 0], whole[0].stderr[-3000:]
    wait(job, folder)
    said = (folder / "out").read_text()
    one, other = saved(folder / "job"), saved(folder / "whole")
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        launch.assert_same(one[part], other[part], where=part)
    once, twice = logged(folder / "whole"), logged(folder / "job")
    assert {key: (once[key], twice[key]) for key in once | twice if once[key] != twice[key]} == {}
    return said


def test_a_job_that_is_preempted_resumes_by_itself(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[2]}")
    said = compare(tmp_path, ["TERM"], steps=[3])
    assert "is requeued (preemption): it resumes from there by itself" in said
    history = json.loads((tmp_path / "job" / "requeues.json").read_text())
    assert (history["time_limits"], history["preemptions"]) == (0, 1)
