"""The check of the step-time model: what it fits, what it predicts, and the table that the site shows."""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch.distributed as dist

from experiments.benchmark.parallel import size_of
from experiments.step_time import measure
from experiments.step_time.measure import _fitted, _predicted, _round, _row, _seconds
from experiments.step_time.steps import REFRESH, STEPS, Scale
from mtl_lightning.communication import Link, Network

sys.path.append(str(Path(__file__).parents[3] / "docs" / "_extensions"))

import step_time_table

WORKLOADS = {workload.name: workload for workload in Scale(widths=(4, 6, 5), rounds=1).workloads()}
LATENCY, BANDWIDTH = 2e-5, 3e9


def test_a_fit_finds_latency_and_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(dist, "all_reduce", lambda values: sizes.append(values.nbytes))

    def timed(reduce: Callable[[int], None], times: int) -> float:
        reduce(1)
        return 2 * 3 * LATENCY + 2 * sizes[-1] * 3 / 4 / BANDWIDTH

    link = _fitted(4, 10_000_000, timed)
    assert (link.latency, link.bandwidth) == (pytest.approx(LATENCY), pytest.approx(BANDWIDTH))
    assert max(sizes) == 10_000_000
    assert _fitted(1, 10_000_000, timed) == Link(0.0, float("inf"))


@pytest.mark.parametrize(("workload", "name"), [(w, n) for w, names in STEPS.items() for n in names])
def test_a_prediction_adds_what_is_sent(workload: str, name: str) -> None:
    kind = STEPS[workload][name]
    loop = kind.make(WORKLOADS[workload], WORKLOADS[workload].batches(1))
    network = Network(Link(0.0, BANDWIDTH), Link(0.0, BANDWIDTH), per_node=4)
    sent = [volume(size_of(loop)).sent(4) for volume in kind.volumes]
    assert len(sent) == (REFRESH if "refresh" in name else 1)
    assert _predicted(kind, loop, 1.0, network, 4) == pytest.approx(1.0 + sum(sent) / len(sent) / BANDWIDTH)


def test_one_process_is_predicted_to_compute_alone() -> None:
    kind = STEPS["one input"]["rows"]
    loops = {"rows": (kind, kind.make(WORKLOADS["one input"], WORKLOADS["one input"].batches(1)))}
    rounds = [_round(loops, 1, partial(_seconds, time.process_time, lambda: None)) for _ in range(2)]
    row = _row(1, "rows", [found["rows"] for found in rounds])
    assert row["predicted"] == row["computing"] > 0 and row["measured"] > 0


def test_the_site_shows_what_was_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = json.loads(step_time_table.RESULTS.read_text())["rows"]
    assert {row["processes"] for row in rows} == {1, 2, 4}
    table = step_time_table.table()
    assert all(f"| {row['processes']} | {row['step']} |" in table for row in rows)
    monkeypatch.setattr(step_time_table, "RESULTS", tmp_path / "none.json")
    assert "Nothing is recorded yet" in step_time_table.table()


def test_a_row_has_the_columns_of_the_record() -> None:
    recorded = json.loads(step_time_table.RESULTS.read_text())["rows"][0]
    assert recorded.keys() == measure.Row.__annotations__.keys()
