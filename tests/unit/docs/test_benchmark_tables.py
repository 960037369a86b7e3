"""The page of benchmarks shows what was recorded, and nothing else."""

import json
import sys
from pathlib import Path

from experiments.benchmark.__main__ import _chosen
from experiments.benchmark.rows import record, row

sys.path.append(str(Path(__file__).parents[3] / "docs" / "_extensions"))

import benchmark_tables


def test_a_table_a_workload_with_the_columns_that_hold_something(tmp_path, monkeypatch):
    rows = [row("small", "us", 4, 1.0, memory_ratio=1.0), row("small", "them", 4, 3.456, 1.1, 0.5)]
    rows.append(row("algebra", "MGDA", 8, 0.0043, cosine=1.0 - 1e-12))
    record(rows, 1, "the command", tmp_path / "results.json")
    monkeypatch.setattr(benchmark_tables, "RESULTS", tmp_path / "results.json")
    text = benchmark_tables.tables()
    assert json.loads((tmp_path / "results.json").read_text())["date"] in text
    assert "the command" in text
    assert "| them | 4 | 3.46 | 0.50 |" in text
    assert "| | tasks | time | 1 - cosine to the optimum |" in text
    assert "| MGDA | 8 | 0.004 | 1e-12 |" in text


def test_what_is_recorded_can_be_shown():
    assert ("### Plain loop" in benchmark_tables.tables()) == benchmark_tables.RESULTS.exists()


def test_without_a_record_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_tables, "RESULTS", tmp_path / "none.json")
    assert "Nothing is recorded yet" in benchmark_tables.tables()


def test_workloads_are_chosen_by_a_part_of_their_name():
    assert [section.workload.name for section in _chosen(["several inputs", "32 of nothing"])] == [
        "plain loop, several inputs of 8"
    ]
    assert len(_chosen(None)) > 5
    assert all(section.shortened(3).effort.rounds == 3 for section in _chosen(None))
