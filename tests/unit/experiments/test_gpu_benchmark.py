"""The benchmark for a GPU, rehearsed on the CPU: it runs, counts what it says, and ends in time."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import forked
import pytest
import torch

from experiments.benchmark.gpu.__main__ import REHEARSED, _measured, _parts, main
from experiments.benchmark.gpu.device import ITEMS, Device
from experiments.benchmark.gpu.found import Found, found
from experiments.benchmark.gpu.shared_card import on_one_card
from experiments.benchmark.processes import CASES
from experiments.benchmark.sections import SECTIONS, InPlainLoops

ROOT = Path(__file__).parents[3]


def test_without_a_gpu_it_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as refused:
        main([])
    assert str(refused.value).startswith("error: torch ") and "finds no GPU" in str(refused.value)
    assert "\n" not in str(refused.value) and capsys.readouterr().out == ""


def test_rehearsal_measures_every_contestant(tmp_path: Path) -> None:
    output = tmp_path / "new" / "gpu.json"
    parts = ("copies", "plain loops", "Lightning", "a compiled encoder")
    ran = forked.run("--rehearse", *parts, "--output", str(output), module="experiments.benchmark.gpu", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    written = json.loads(output.read_text("utf-8"))
    assert written["left_out"] == {} and written["machine"].startswith("rehearsal on a CPU, torch ")
    methods, memories = ("EqualWeighting", "UPGrad"), ("pageable", "pinned")
    found = {part: [row["contestant"] for row in rows] for part, rows in groupby(written["rows"], lambda r: r["part"])}
    assert found == {
        "1 MB to the device": [f"{m}: the {w}" for m in memories for w in ("host is held up", "data is there")],
        "plain loop, several inputs of 8, large, bf16": list(methods),
        "one input of 4, in Lightning, bf16": [
            *("bare loop", "EqualWeighting"),
            *(f"EqualWeighting: copies from {memory} memory, count" for memory in reversed(memories)),
        ],
        "one input of 4, compiled, bf16": [
            f"{name}{what}" for name in methods for what in ("", ", compiled", ", compiled: the first two steps")
        ],
    }
    assert all(row["contestant"].split(":")[0] in ran.stdout for row in written["rows"])
    plain = [row for row in written["rows"] if row["part"].startswith("plain")]
    assert all(row["time"] > 0 and row["milliseconds"] > 0 and row["items"] > 0 for row in plain)


def test_numbers_that_are_read_from_tensors_are_counted() -> None:
    device = Device("cpu")
    assert device.events(lambda: [torch.ones(()).item() for _ in range(3)])[ITEMS] == 3
    assert device.events(lambda: torch.ones(3).sum())[ITEMS] == 0


def test_what_two_processes_cannot_do_on_a_card_is_said() -> None:
    rows = list(on_one_card(Device("cpu"), [CASES[1].quick()], REHEARSED))
    refused, *others = rows
    assert refused["part"] == "two processes on one card, nccl", "its tensors are not on a GPU"
    assert refused["contestant"].startswith("it does not work: ") and refused["time"] is None
    assert all(row["part"].startswith("two processes on one card, gloo: 2 processes, ") for row in others)
    assert {"DistributedDataParallel", "UPGrad"} < {row["contestant"] for row in others}


def full() -> Iterator[Found]:
    yield found("full", "first")
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_it_ends_in_time_and_says_what_is_left_out() -> None:
    now = 0.0

    def slow(seconds: float) -> Iterator[Found]:
        nonlocal now
        for contestant in ("first", "second"):
            now += seconds
            yield found("slow", contestant)

    parts = {"full": full, "slow": lambda: slow(1), "slower": lambda: slow(10), "last": full}
    measured, left_out = _measured(parts, 10, lambda: now)
    assert left_out == {"full": "out of memory", "slower": "the time is over", "last": "the time is over"}
    assert [(row["part"], row["contestant"]) for row in measured] == [
        *(("full", "first"), ("slow", "first"), ("slow", "second"), ("slow", "first")),
    ]


def test_each_workload_of_the_benchmark_is_measured_in_both_precisions() -> None:
    parts = [part.removesuffix(", fp32") for part in _parts(Device("cpu")) if part.endswith(", fp32")]
    assert {section.workload.name for section in SECTIONS if isinstance(section, InPlainLoops)} < set(parts)
    assert set(parts) == {part.removesuffix(", bf16") for part in _parts(Device("cpu")) if part.endswith(", bf16")}
