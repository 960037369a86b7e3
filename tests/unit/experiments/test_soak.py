"""The soak run notes what is held as it is, and calls growth what is growth."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.soak.__main__ import CASES, CONFIG
from experiments.soak.growth import is_steady, judge, read
from experiments.soak.watch import COLUMNS
from mtl_lightning.__main__ import main

REPOSITORY = Path(__file__).parents[3]
HOLDING = """
import json, os, subprocess
from experiments.soak.held import held

at_first = held()
block, file = bytearray(b"x") * 50_000_000, os.open(os.devnull, os.O_RDONLY)
with_both = held()
child = subprocess.Popen(["sleep", "600"])
with_child = held()
child.kill()
child.wait()
print(json.dumps([at_first, with_both, with_child, held()]))
"""


def test_what_is_held_is_counted() -> None:
    """By a process of its own: the memory that earlier tests freed here would hide some of what is added."""
    ran = subprocess.run([sys.executable, "-c", HOLDING], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    at_first, with_both, with_child, without_child = json.loads(ran.stdout)
    for memory in ("resident", "anonymous", "proportional"):
        assert with_both[memory] - at_first[memory] == pytest.approx(50_000_000, rel=0.2)
    assert with_both["descriptors"] - at_first["descriptors"] == 1
    children = [found["children"] for found in (at_first, with_both, with_child, without_child)]
    assert children == [0, 0, 1, 0]


def samples(**growth: float) -> list[dict[str, int]]:
    """Of 100 steps each, with so much more a step; the first 2,000 hold less than all others."""
    held = {"resident": 600e6, "proportional": 400e6, "anonymous": 400e6, "descriptors": 30, "children": 2}
    steps = range(100, 20_001, 100)
    return [
        {"step": step}
        | {name: round(base * (1 if step > 2_000 else 0.5) + growth.get(name, 0) * step) for name, base in held.items()}
        for step in steps
    ]


@pytest.mark.parametrize(
    ("growth", "steady"),
    [
        ({}, True),
        ({"resident": 500}, True),
        ({"resident": 750}, False),
        ({"descriptors": 0.001}, False),
        ({"children": 0.001}, False),
    ],
    ids=["nothing", "less than 2 %", "more than 2 %", "descriptors", "children"],
)
def test_what_grows_is_not_steady(growth: dict[str, float], steady: bool) -> None:
    found = judge(samples(**growth), warm_up=2_000)
    assert is_steady(found) == steady
    assert found["resident"][0] == pytest.approx(600, rel=0.01), "the warm-up does not count"


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no two samples after step 20000; the last one is of step 20000"):
        judge(samples(), warm_up=20_000)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_the_run_writes_what_is_judged(tmp_path: Path) -> None:
    arguments = ["fit", "--config", str(CONFIG), *CASES["no workers"], f"--trainer.default_root_dir={tmp_path}"]
    arguments += ["--trainer.devices=1", "--trainer.strategy=auto", "--trainer.max_steps=6", "--wandb=off"]
    assert main([*arguments, "--trainer.callbacks.every=2", "--trainer.enable_progress_bar=false"]) == 0
    found = read(tmp_path / "held-0.csv")
    assert [sample["step"] for sample in found] == [2, 4, 6]
    assert all(tuple(sample) == COLUMNS and min(sample["resident"], sample["descriptors"]) > 0 for sample in found)


def test_it_is_a_run_of_two_processes_with_a_gradient_weighting_and_checkpoints() -> None:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    assert config["trainer"]["devices"] == 2 and config["trainer"]["max_steps"] == 20_000
    assert config["model"]["weighting"] == "UPGrad" and len(config["data"]["datasets"]) == 2
    assert config["save_every_n_steps"]
