"""Measures a server of an exported model, or of a run: ``python -m experiments.serving MODEL``."""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from rich.console import Console
from rich.table import Table

from experiments.serving.client import Connection, CutError, Found, UnansweredError, load
from experiments.serving.malformed import BODIES, HEADERS, METHODS, PATHS
from experiments.serving.server import Server, serving

MOST_GROWTH = 0.02
_TEXTS = Path(__file__).with_name("texts.txt")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes; ends with status 1 where an answer was lost, a server failed, or memory grew."""
    options = _parser().parse_args(arguments)
    texts = (options.texts or _TEXTS).read_text("utf-8").splitlines()
    bodies = [json.dumps({"text": text}).encode() for text in texts]
    found = {
        "throughput": throughput(options, bodies),
        "malformed": malformed(options),
        "stopped": stopped(options, bodies),
        "growth": growth(options, bodies),
    }
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    head = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "clients": options.clients}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**head, **found}, indent=1) + "\n", "utf-8")
    _print(found)
    sys.exit(0 if is_good(found) else 1)


def throughput(options: argparse.Namespace, bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    """Requests a second with batches and without, by turns, so that other work of the machine meets both alike."""
    sizes = (options.batch_size, 1)
    found: dict[int, list[Found]] = {size: [] for size in sizes}
    spent = dict.fromkeys(sizes, 0.0)
    for _ in range(options.rounds):
        for size in sizes:
            with serving(options.model, ["--batch_size", str(size)]) as server:
                asyncio.run(load(server.port, bodies, options.clients, 3))  # warms up
                began = time.perf_counter()
                found[size].append(asyncio.run(load(server.port, bodies, options.clients, options.seconds)))
                spent[size] += time.perf_counter() - began
    return [{"batch_size": size, **_figures(found[size], spent[size])} for size in sizes]


def _figures(rounds: Sequence[Found], spent: float) -> dict[str, Any]:
    seconds = [each for one in rounds for each in one.seconds]
    cuts = quantiles(seconds, n=100)
    statuses = sum((one.statuses for one in rounds), Counter[int]())
    return {
        "requests_a_second": round(len(seconds) / spent, 1),
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "statuses": dict(statuses),
    }


def malformed(options: argparse.Namespace) -> dict[str, int]:
    """Statuses of requests that nobody should send."""
    statuses: Counter[str] = Counter()
    with serving(options.model, []) as server, asyncio.Runner() as runner:
        connection = Connection(server.port)

        @settings(
            max_examples=options.malformed,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(METHODS, PATHS, BODIES, HEADERS)
        def send(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
            nonlocal connection
            try:
                status, _ = runner.run(connection.ask(body, method, path, headers))
                statuses[str(status)] += 1
            except (UnansweredError, CutError):
                statuses["none"] += 1
                connection = Connection(server.port)

        send()
        runner.run(connection.close())
    return dict(statuses)


def stopped(options: argparse.Namespace, bodies: Sequence[bytes]) -> dict[str, int]:
    """What SIGTERM amid requests leaves without an answer."""
    with serving(options.model, []) as server:

        async def both() -> tuple[Found, tuple[int, int, int]]:
            loading = asyncio.create_task(load(server.port, bodies, options.clients, 300))
            await asyncio.sleep(5)
            ended = await asyncio.to_thread(server.stop)
            return await loading, ended

        found, (status, answered, accepted) = asyncio.run(both())
    received = sum(found.statuses.values())
    return {"accepted": accepted, "answered": answered, "received": received, "cut": found.cut, "exit_status": status}


def growth(options: argparse.Namespace, bodies: Sequence[bytes]) -> dict[str, Any]:
    """Resident memory of all processes, once warm and at the end."""
    with serving(options.model, []) as server:
        warm = max(0.2 * options.minutes, 0.1)
        before, after = (
            median(asyncio.run(_held(server, bodies, options, minutes * 60))[-9:])
            for minutes in (warm, options.minutes - warm)
        )
    return {
        "minutes": options.minutes,
        "warm_mb": round(before / 1e6, 1),
        "end_mb": round(after / 1e6, 1),
        "growth": round(after / before - 1, 5),
    }


async def _held(server: Server, bodies: Sequence[bytes], options: argparse.Namespace, seconds: float) -> list[int]:
    """Resident memory, every second or so."""
    loading = asyncio.create_task(load(server.port, bodies, options.clients, seconds))
    samples = []
    while not loading.done():
        await asyncio.wait([loading], timeout=max(seconds / 100, 0.2))
        samples.append(server.resident())
    return samples


def is_good(found: Mapping[str, Any]) -> bool:
    """Whether nothing was lost, no server failed, and memory stayed."""
    end = found["stopped"]
    bad = [status for status in found["malformed"] if not status.startswith(("2", "4"))]
    is_whole = end["accepted"] == end["answered"] == end["received"] and not end["cut"] and not end["exit_status"]
    return is_whole and not bad and found["growth"]["growth"] < MOST_GROWTH


def _print(found: Mapping[str, Any]) -> None:
    table = Table(title="Requests", title_justify="left")
    for name in ("batch size", "a second", "p50 ms", "p99 ms", "statuses"):
        table.add_column(name, justify="right")
    for one in found["throughput"]:
        cells = (one["batch_size"], one["requests_a_second"], one["p50_ms"], one["p99_ms"], one["statuses"])
        table.add_row(*map(str, cells))
    console = Console()
    console.print(table)
    for name in ("malformed", "stopped", "growth"):
        console.print(f"{name}: {found[name]}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.serving", description=__doc__)
    parser.add_argument("model", help="a folder that `export --format onnx` wrote, or a run")
    parser.add_argument("--texts", type=Path, help="a file of texts, one a line (default: commands as in SNIPS)")
    parser.add_argument("--clients", type=int, default=32, help="that ask at once (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=32, help="beside 1 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of both, by turns (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="of a round (default: %(default)s)")
    parser.add_argument("--malformed", type=int, default=2000, help="requests (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="of load, for memory (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/serving.json"), help="file for the results")
    return parser


if __name__ == "__main__":
    main()
