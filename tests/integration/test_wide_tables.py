"""What a run costs grows with its tasks and labels, not with their square: counted in calls, not in seconds."""

import gc
import json
from copy import deepcopy
from cProfile import Profile
from pathlib import Path
from typing import Any

import yaml
from tiny import CONFIG, fit

SIZES = (4, 8, 12)  # a step of the same width between them


def datasets(folder: Path, size: int) -> dict[str, Any]:
    """A table of which each task has a column; those beside them hold values of several types."""
    rows = [{"f": [row, 1, 2], **{f"t{i}": "pq"[(row + i) % 2] for i in range(size)}} for row in range(10)]
    for number, row in enumerate(rows):
        row |= {f"m{i}": ["p", 1] if number % 2 else "q" for i in range(size)}
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files, labels = dict.fromkeys(("train", "val", "test"), "all.jsonl"), {f"t{i}": f"t{i}" for i in range(size)}
    source = {"files": files, "inputs": {"features": "f"}, "labels": labels}
    return {"d": {"class_path": "FileSource", "init_args": source}}


def calls(folder: Path, size: int) -> int:
    """Calls of Python functions in a run of one epoch with an evaluation at the end."""
    config = deepcopy(CONFIG)
    config["model"]["tasks"] = {f"t{i}": "SequenceClassification" for i in range(size)}
    config["data"]["datasets"] = datasets(folder, size)
    config["trainer"] |= {"max_steps": 1, "max_epochs": 1}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    counting = Profile(builtins=False)
    gc.collect()
    gc.disable()  # what earlier tests have left is finalised at any moment
    counting.enable()
    try:
        # how much of the model's summary is counted depends on the machine's speed
        assert fit("run", "--evaluate", "test", "--trainer.enable_model_summary", "false") == 0
    finally:
        counting.disable()
        gc.enable()
    return sum(entry.callcount for entry in counting.getstats())


def test_cost_of_a_run_is_linear_in_its_tasks(tmp_path, monkeypatch):
    numbers = []
    for size in (2, *SIZES):  # the first run imports, and fills caches
        folder = tmp_path / str(size)
        folder.mkdir()
        monkeypatch.chdir(folder)
        numbers.append(calls(folder, size))
    few, some, many = numbers[1:]
    square = many - 2 * some + few
    assert abs(square) < 0.002 * (many - few), (numbers, square)
