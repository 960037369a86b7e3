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
QUICK = (200, 100, False)

_PEAK, _BEFORE, _WORKER = "peak", "before", "worker"
_OF_A_WORKER = 20
_STEPS = 5
_WORKERS = 2
_SECONDS_BETWEEN_SAMPLES = 0.01


def measure(data: Path, texts: int = SOME, few: int = FEW, pretrained: bool = True) -> list[Row]:
    """The rows of the benchmark.

    The goal is 2,000,000 texts in 1.5 GB. What a step takes depends on the sentences that it draws, so the price of a
    text is told before the first one: it may cost what it may cost where there are 2,000,000. A worker that copied the
    table would hold some 500 bytes a text; 20 are allowed.

    Args:
        data: Folder with ``snips``.
        texts: Number of texts.
        few: Number of texts to compare with.
        pretrained: Whether MiniLM is trained; else a small transformer that reads the same tokens.
    """
    base, found = (_of_a_process(data, number, pretrained) for number in (few, texts))
    more = texts - few
    allowed = {
        "peak anonymous memory": LIMIT,
        "the same, before the first step": base[_BEFORE] + (LIMIT - base[_PEAK]) / (MANY - few) * more,
        "private memory of a worker": base[_WORKER] + _OF_A_WORKER * more,
    }
    return [
        row(
            f"snips, MiniLM, {_WORKERS} workers: {what}",
            f"{number:,} texts, {memory / 1e6:.0f} MB",
            len(SENTENCES["snips"]["labels"]),
            None,
            memory_ratio=memory / base[key],
            memory_target=None if number == few else round(most / base[key], 3),
        )
        for key, (what, most) in zip((_PEAK, _BEFORE, _WORKER), allowed.items(), strict=True)
        for number, memory in ((few, base[key]), (texts, found[key]))
    ]


def _of_a_process(data: Path, texts: int, pretrained: bool) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        cache = {"HF_DATASETS_CACHE": str(Path(folder, "cache")), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        _repeat(data / "snips" / "train.jsonl", Path(folder, "train.jsonl"), texts)
        command = [sys.executable, "-m", "experiments.benchmark.memory", "--train", folder]
        command += [] if pretrained else ["--small"]
        ran = subprocess.run(command, env={**os.environ, **cache}, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _repeat(source: Path, target: Path, texts: int) -> None:
    lines = source.read_text("utf-8").splitlines(keepends=True)
    with target.open("w", encoding="utf-8") as file:
        file.writelines(islice(cycle(lines), texts))


# -- in a process of its own -------------------------------------------------------------------------------------------
class Peak(Callback):
    """Samples this process's anonymous memory until ``stop``, and its workers' private memory in every step.

    Attributes:
        found: Bytes; of the worker that holds most.
    """

    def __init__(self) -> None:
        self.found = dict.fromkeys((_PEAK, _BEFORE, _WORKER), 0)
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()

    def stop(self) -> None:
        """No more samples."""
        self._over.set()
        self._sampler.join()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Notes what was taken before the first step."""
        if batch_idx == 0:
            self.found[_BEFORE] = self.found[_PEAK]

    def on_train_batch_end(self, *args: Any) -> None:
        """Looks at the workers."""
        workers = multiprocessing.active_children()
        assert len(workers) == _WORKERS
        held = [_bytes(f"/proc/{worker.pid}/smaps_rollup", "Private_Dirty") for worker in workers]
        self.found[_WORKER] = max(*held, self.found[_WORKER])

    def _sample(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_SAMPLES):
            self.found[_PEAK] = max(self.found[_PEAK], _bytes("/proc/self/status", "RssAnon"))


def _train(folder: Path, pretrained: bool) -> None:
    peak = Peak()
    try:
        source = FileSource(**{**SENTENCES["snips"], "files": {"train": str(folder / "train.jsonl")}})
        data = MultiTaskDataModule({"snips": source}, num_workers=_WORKERS)
        trained = module("snips", pretrained)
        trainer(max_steps=_STEPS, limit_val_batches=0, callbacks=[peak]).fit(trained, datamodule=data)
    finally:
        peak.stop()
    print(json.dumps(peak.found))


def _bytes(file: str, entry: str) -> int:
    for line in Path(file).read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{file} has no entry {entry}")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark.memory", description=__doc__)
    parser.add_argument("--texts", type=int, default=SOME, help=f"how many (default: {SOME})")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the data set snips")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--small", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    silence()
    if options.train is not None:
        _train(options.train, pretrained=not options.small)
    else:
        print_tables(measure(options.data, options.texts))


if __name__ == "__main__":
    _main()
