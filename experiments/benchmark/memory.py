"""Memory that training on many texts takes: ``python -m experiments.benchmark.memory --texts 2000000``.

The texts are those of ``snips``, repeated. A process of its own reads, encodes and trains on them with MiniLM and two
workers, beginning with an empty cache; another does so with few texts. What grows from one to the other is the price of
the texts. Anonymous memory is what has no file behind it: encoded tables are mapped from files.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch import Callback

from experiments.benchmark.reading import DATA, SENTENCES, module, trainer
from experiments.benchmark.rows import Row, print_tables, row
from experiments.benchmark.silence import silence
from mtl_lightning.data import FileSource, MultiTaskDataModule

MANY, LIMIT = 2_000_000, 1.5e9
FEW, SOME = 20_000, 200_000
QUICK = (200, 100)

_OF_A_WORKER = 20
_STEPS = 5
_WORKERS = 2
_SECONDS_BETWEEN_SAMPLES = 0.01


def measure(data: Path, texts: int = SOME, few: int = FEW) -> list[Row]:
    """The rows of the benchmark.

    The goal is 2,000,000 texts in 1.5 GB: a text may cost as much as there, beyond what few texts take. A worker that
    copied the table would hold some 500 bytes a text; 20 are allowed.

    Args:
        data: Folder with ``snips``.
        texts: Number of texts.
        few: Number of texts to compare with.
    """
    base, found = (_of_a_process(data, number) for number in (few, texts))
    allowed = base["main"] + (LIMIT - base["main"]) * (texts - few) / (MANY - few)
    title = f"snips, MiniLM, {_WORKERS} workers: peak anonymous memory"
    of_workers = f"snips, MiniLM, {_WORKERS} workers: private memory of a worker"
    return [
        _row(title, few, base["main"], base["main"]),
        _row(title, texts, found["main"], base["main"], allowed),
        _row(of_workers, few, base["worker"], base["worker"]),
        _row(of_workers, texts, found["worker"], base["worker"], base["worker"] + _OF_A_WORKER * (texts - few)),
    ]


def _row(title: str, texts: int, memory: float, base: float, allowed: float | None = None) -> Row:
    name = f"{texts:,} texts, {memory / 1e6:.0f} MB"
    return row(title, name, 2, None, memory_ratio=memory / base, memory_target=allowed and round(allowed / base, 3))


def _of_a_process(data: Path, texts: int) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        cache = {"HF_DATASETS_CACHE": str(Path(folder, "cache")), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        _repeat(data / "snips" / "train.jsonl", Path(folder, "train.jsonl"), texts)
        command = [sys.executable, "-m", "experiments.benchmark.memory", "--train", folder]
        ran = subprocess.run(command, env={**os.environ, **cache}, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _repeat(source: Path, target: Path, texts: int) -> None:
    lines = source.read_text("utf-8").splitlines(keepends=True)
    with target.open("w", encoding="utf-8") as file:
        file.writelines(islice(cycle(lines), texts))


# -- in a process of its own -------------------------------------------------------------------------------------------
class PrivateMemory(Callback):
    """What the workers hold that is not shared with any process, in the last step."""

    def __init__(self) -> None:
        self.largest = 0

    def on_train_batch_end(self, *args: Any) -> None:
        """Looks."""
        workers = multiprocessing.active_children()
        assert len(workers) == _WORKERS
        self.largest = max(_kilobytes(f"/proc/{worker.pid}/smaps_rollup", "Private_Dirty") for worker in workers)


def _train(folder: Path) -> None:
    peak, over = 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not over.wait(_SECONDS_BETWEEN_SAMPLES):
            peak = max(peak, _kilobytes("/proc/self/status", "RssAnon"))

    sampler, private = threading.Thread(target=sample), PrivateMemory()
    sampler.start()
    try:
        source = FileSource(**{**SENTENCES["snips"], "files": {"train": str(folder / "train.jsonl")}})
        loaded = MultiTaskDataModule({"snips": source}, num_workers=_WORKERS)
        trainer(max_steps=_STEPS, limit_val_batches=0, callbacks=[private]).fit(module("snips"), datamodule=loaded)
    finally:
        over.set()
    sampler.join()
    print(json.dumps({"main": peak * 1024, "worker": private.largest * 1024}))


def _kilobytes(file: str, entry: str) -> int:
    for line in Path(file).read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1])
    raise RuntimeError(f"{file} has no entry {entry}")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark.memory", description=__doc__)
    parser.add_argument("--texts", type=int, default=SOME, help=f"how many (default: {SOME})")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the data set snips")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    silence()
    if options.train is not None:
        _train(options.train)
    else:
        print_tables(measure(options.data, options.texts))


if __name__ == "__main__":
    _main()
