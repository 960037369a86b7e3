"""The benchmark runs and writes what readers of its rows expect; how fast it is depends on the machine."""

import json
import os
import re
from itertools import groupby
from pathlib import Path

import forked
import miniatures
import pytest
import real_data

from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import reading
from experiments.benchmark.__main__ import _on_real_sentences
from experiments.benchmark.sharings import exported

ROOT = Path(__file__).parents[3]
KEYS = {"workload", "contestant", "tasks", "time_ratio", "target", "memory_ratio", "memory_target", "cosine"}
KEYS |= {"sent_ratio", "sent_model"}
GRAMIAN = ["UPGrad", "MGDA", "NashMTL", "CAGrad", "PCGrad", "AlignedMTL"]
TORCHJD = ["TorchJD's UPGrad", "TorchJD's UPGrad, parallel_chunk_size=1"]
IN_LOOPS = ["EqualWeighting", "bare loop", *GRAMIAN, *TORCHJD]
MANY_TASKS = ["bare loop", "EqualWeighting", "RLW", "GLS", "IMTLG", "AlignedMTL"]
MANY_TASKS += ["TorchJD's IMTLG", "TorchJD's AlignedMTL"]
OPTIONS = ["UPGrad, refresh_every: 10", "UPGrad, gradient_of: features"]
ON_PROCESSES = [
    "DistributedDataParallel",
    "DistributedDataParallel without its all-reduce",
    "EqualWeighting",
    "UPGrad",
    "NashMTL",
    "FSDP2",
    "EqualWeighting on FSDP2",
    "UPGrad on FSDP2",
    "UPGrad on FSDP2, gather_once",
]
PADDING = ["tokens of a batch", "padding in training", "padding in evaluation"]
WAITING = ["a training step", "waiting, 0 workers", "waiting, 2 workers"]
CONTESTANTS = {
    "one data set": ["bare loop", "EqualWeighting"],
    "several data sets": ["bare loop", "EqualWeighting", "gramian (ones)"],
    "plain loop, several inputs of 8": IN_LOOPS,
    "plain loop, one input of 32": [*IN_LOOPS[:8], *OPTIONS, *TORCHJD],
    "perceptron 64-256-256, one input of 128, 8 tasks": IN_LOOPS,
    "perceptron 64-256-256, one input of 128, 32 tasks": IN_LOOPS,
    "perceptron 16-64-64, one input of 32, 32 tasks": MANY_TASKS,
    "perceptron 16-64-64, 32 inputs of 32": MANY_TASKS,
    "sharing": list(exported()),
    "sharing: four data sets, a LoRA for each": ["one LoRA for all", "four LoRAs"],
    "sharing: four data sets in one pass of the encoder": ["four passes", "one pass"],
    **{
        f"sharing: top 1 of 8 {experts}, {when}": ["one expert", "top 1 of 8"]
        for when in ("in training", "at inference")
        for experts in ("perceptrons", "copies of a layer")
    },
    **{
        f"{processes}, 10 M parameters, {inputs}": ON_PROCESSES
        for processes in ("1 process", "2 processes")
        for inputs in ("several inputs of 8", "one input of 32")
    },
    "ud_ewt, batches of 32: share of padding": PADDING,
    "ud_ewt, MiniLM, batches of 32: time of a token": ["every batch padded to 128", "batches of similar length"],
    "snips, batches of 32: share of padding": PADDING,
    "snips, MiniLM, batches of 32: waiting for data": WAITING,
    "snips, MiniLM, 2 workers: peak anonymous memory": ["100 texts", "200 texts"],
    "snips, MiniLM, 2 workers: the same, before the first step": ["100 texts", "200 texts"],
    "snips, MiniLM, 2 workers: private memory of a worker": ["100 texts", "200 texts"],
    "U-Net of 0.4 M, batches of 8 JPEG files of 48 x 64 with PNG labels: waiting for data": WAITING,
    "perceptron 64-64 on a table of 32,768 rows, 6 numbers and 4 categories: time of a row": [
        "10 microseconds",
        "in batches of 1,024",
        "in batches of 4,096",
    ],
    "compare, every weighting and pairs of three tasks: time to the plan": ["half a second", "the plan"],
    "algebra, beside TorchJD's": ["MGDA", "MGDA", "UPGrad", "UPGrad"],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    output = tmp_path_factory.mktemp("benchmark") / "new" / "rows.json"
    data = miniatures.make(tmp_path_factory.mktemp("data"))
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path_factory.mktemp("cache"))}
    record = str(output.with_name("record.json"))
    options = ("--quick", "--output", str(output), "--data", str(data), "--record", record)
    ran = forked.run(*options, script=ROOT / "tests" / "brief_benchmark.py", cwd=ROOT, env=environment)
    assert ran.returncode == 0, ran.stderr
    recorded = json.loads(output.with_name("record.json").read_text("utf-8"))
    rows = json.loads(output.read_text("utf-8"))
    assert set(recorded) == {"date", "machine", "command", "rows"}
    assert recorded["rows"] == rows
    return rows, ran.stdout


def without_size(row):
    return re.sub(r", \d+ MB", "", row["contestant"])


def test_quick_run_writes_a_row_for_each_contestant(ran):
    rows, printed = ran
    assert all(set(row) == KEYS for row in rows)
    whole = [row for row in rows if ": " not in row["contestant"] or row["contestant"] in OPTIONS]
    assert {
        workload: [without_size(row) for row in group] for workload, group in groupby(whole, lambda r: r["workload"])
    } == CONTESTANTS
    assert all(row["contestant"] in printed for row in rows)


def test_ratios_are_to_the_first_contestant(ran):
    rows, _ = ran
    for row in rows:
        assert row["time_ratio"] is None or row["time_ratio"] >= 0
        if without_size(row) == CONTESTANTS[row["workload"]][0] and "algebra" not in row["workload"]:
            assert row["time_ratio"] in (1, None)
            assert row["memory_ratio"] in (1, None)
            assert (row["time_ratio"], row["memory_ratio"]) != (None, None)
        assert row["memory_target"] is None or row["memory_ratio"] > 0


def shares_of_padding(rows):
    return [row["time_ratio"] for row in rows if row["contestant"].startswith("padding in ")]


def test_padding_is_measured_however_quick_the_run(ran):
    assert len(shares_of_padding(ran[0])) == 4


@pytest.mark.parametrize("name", reading.SENTENCES)
@pytest.mark.parametrize("kind", real_data.kinds(reading.SENTENCES))
def test_there_is_little_padding(kind, name, tmp_path):
    data = miniatures.make(tmp_path) if kind == "miniature" else real_data.folder()
    training, evaluation = shares_of_padding(reading._padding(name, *reading._loaders(name, data, reading.QUICK)))
    assert 0 < training <= 0.08
    assert 0 < evaluation <= (1 if kind == "miniature" else 0.08), "a miniature is one batch of all lengths"


def test_without_the_data_it_says_so(capsys, tmp_path):
    assert _on_real_sentences(tmp_path / "none", quick=True) == []
    said = capsys.readouterr().out
    assert f"no folder {tmp_path / 'none' / 'ud_ewt'}: nothing is measured on real sentences" in said
    assert "`python -m experiments.data ud_ewt snips` writes it" in said


def test_parts_of_a_step_add_up_to_it(ran):
    rows, _ = ran
    for workload in CONTESTANTS:
        times = {row["contestant"]: row["time_ratio"] for row in rows if row["workload"] == workload}
        for method in ("DistributedDataParallel", "UPGrad"):
            parts = [time for name, time in times.items() if name.startswith(f"{method}: ")]
            assert bool(parts) == ("2 processes" in workload)
            assert not parts or sum(parts) == pytest.approx(times[method], abs=0.01)


def test_processes_send_what_the_model_of_the_step_time_says(ran):
    rows = {(row["workload"], row["contestant"]): row for row in ran[0]}
    both = [row for row in rows.values() if row["sent_model"] is not None]
    assert {row["contestant"] for row in both} == {*ON_PROCESSES[:1], *ON_PROCESSES[2:]}
    assert all(row["sent_ratio"] == pytest.approx(row["sent_model"], abs=0.02) for row in both)
    assert all("2 processes" in row["workload"] for row in both), "one process sends nothing"
    alone = rows["2 processes, 10 M parameters, one input of 32", ON_PROCESSES[1]]
    assert alone["sent_ratio"] == 0


def test_a_section_is_recorded_too(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "silence", lambda: None)
    monkeypatch.setattr(benchmark, "_on_processes", lambda *_: [benchmark.row("2 processes", "UPGrad", 4, 1.5)])
    line = ["--section=processes", f"--output={tmp_path / 'rows.json'}", f"--record={tmp_path / 'kept.json'}"]
    benchmark.main(line)
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["rows"] == json.loads((tmp_path / "rows.json").read_text()) and len(kept["rows"]) == 1
    with pytest.raises(SystemExit):
        benchmark.main([*line, "--workloads=plain loop"])
