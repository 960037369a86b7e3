"""What a run tells its comparison."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.backward import cosines
from mtl_lightning.callbacks.cosines import CosineHistory
from mtl_lightning.callbacks.skipping import NotFiniteError, StopWhenNotFinite
from mtl_lightning.compare.running.records import RECORD
from mtl_lightning.compare.running.run.measure import Durations, PassCounter, PeakMemory, Stopwatch
from mtl_lightning.compare.running.run.sharing import gates, similarity
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import LossWeighting
from mtl_lightning.weighting.solvers import SolverError
from mtl_lightning.writing import write_whole


class RunRecorder(Callback):
    """Writes ``record.json`` in the run's folder: what its metrics mean, what it cost, how its tasks conflicted,
    and which experts they used.

    Steps in which a loss weighting's tasks are looked at (``refresh_every``) count neither as time nor as memory nor as
    backward passes. The time of a step, on the wall and of the processor, is the median (where only some compare
    gradients, of both kinds), from the end of the step before; after a pause (validation, checkpoint, a new epoch) it
    is from the step's own begin. Memory is the most that a step holds, without validation and checkpoints. A run that
    is resumed adds to what it had recorded.
    """

    def __init__(self) -> None:
        self.history = CosineHistory([])
        self._means = {name: [0.0, 0] for name in ("backward_passes", "solver_seconds")}
        self._durations = {compared: Durations() for compared in (False, True)}
        self._processor = {compared: Durations() for compared in (False, True)}
        self._steps = self._peak = 0
        self._memory = PeakMemory()
        self._watches = _watches()
        self._paused = self._between_steps = True
        self._passes: PassCounter | None = None
        self._newest: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins."""
        if not self.history.tasks:
            self.history = CosineHistory(list(pl_module.tasks))  # type: ignore[arg-type]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts to count."""
        self._passes = PassCounter(pl_module.chain)  # type: ignore[arg-type]
        self._watches = _watches()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock until the next step."""
        self._paused = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock until the next step."""
        self._paused = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begins a step, with its first batch."""
        if self._between_steps:
            self._memory.start(pl_module.device)
            if self._paused:
                for watch in self._watches:
                    watch.start()
        self._between_steps = self._paused = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes a step."""
        if trainer.fit_loop._should_accumulate():
            return
        self._between_steps = True
        step: Any = pl_module.step
        fresh = step is not None and step.gramian is not None and step.gramian is not self._newest
        if fresh:
            self._newest = step.gramian
            self.history.add(trainer.global_step, list(step.losses), cosines(step.gramian))
        probed = fresh and isinstance(pl_module.weighting, LossWeighting)
        self._count(pl_module.device, step, fresh, probed)

    def _count(self, device: torch.device, step: Any, compared: bool, probed: bool) -> None:
        assert self._passes is not None, "on_train_start comes first"
        self._steps += 1
        (seconds, processor), passes = (watch.lap() for watch in self._watches), self._passes.read()
        if not probed:
            self._peak = max(self._peak, self._memory.read(device))
            self._add("backward_passes", passes)
            if seconds is not None and processor is not None:
                self._durations[compared].add(seconds)
                self._processor[compared].add(processor)
        if step is not None:
            self._add("solver_seconds", step.seconds)

    def _add(self, name: str, value: float | None) -> None:
        if value is not None:
            self._means[name][0] += value
            self._means[name][1] += 1

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes."""
        self._write(trainer, pl_module, "finished", "")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Writes what ended the run."""
        if isinstance(exception, Exception):
            kinds = {NotFiniteError: "diverged", SolverError: "solver"}
            status = next((name for kind, name in kinds.items() if isinstance(exception, kind)), "failed")
            kind = "" if isinstance(exception, UserError) else f"{type(exception).__name__}: "
            self._write(trainer, pl_module, status, f"{kind}{exception}")

    def _write(self, trainer: Trainer, module: LightningModule, status: str, message: str) -> None:
        if self._passes is not None:
            self._passes.remove()
        if not trainer.is_global_zero:
            return
        record = {
            "status": status,
            "message": message,
            "metrics": _meanings(module) if status == "finished" else {},
            "costs": self._costs(trainer, on_cpu=module.device.type == "cpu"),
            "cosines": [[*pair.tasks, pair.mean, pair.share, pair.steps] for pair in self.history.pairs()],
            "gates": gates(trainer.callbacks),  # type: ignore[attr-defined]
            "similarity": similarity(module),
            "torch": torch.__version__,
            "device": _device_name(module.device),
        }
        write_whole(Path(trainer.default_root_dir, RECORD), json.dumps(record, indent=1))

    def _costs(self, trainer: Trainer, on_cpu: bool) -> dict[str, float | None]:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        return {
            **{name: total / count if count else None for name, (total, count) in self._means.items()},
            "seconds_per_step": _median(self._durations),
            "cpu_seconds_per_step": _median(self._processor) if on_cpu else None,
            "peak_memory": self._peak or None,
            "steps": self._steps,
            "skipped_steps": sum(callback.skipped for callback in callbacks if isinstance(callback, StopWhenNotFinite)),
        }

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        means = {name: list(mean) for name, mean in self._means.items()}
        return {
            "history": self.history.state_dict(),
            "means": means,
            "durations": {int(kind): dict(durations.counts) for kind, durations in self._durations.items()},
            "processor": {int(kind): dict(durations.counts) for kind, durations in self._processor.items()},
            "steps": self._steps,
            "peak": self._peak,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.history.load_state_dict(state_dict["history"])
        self._means = {name: list(mean) for name, mean in state_dict["means"].items()}
        for name, durations in (("durations", self._durations), ("processor", self._processor)):
            for kind, counts in state_dict.get(name, {}).items():
                durations[bool(kind)].counts = Counter(counts)
        self._steps, self._peak = state_dict["steps"], state_dict["peak"]


def _watches() -> tuple[Stopwatch, Stopwatch]:
    return Stopwatch(), Stopwatch(clock=time.process_time)


def _median(durations: Mapping[bool, Durations]) -> float | None:
    """Of a step: the medians of those that compare gradients and of those that do not, by how many there were."""
    medians = [(kind.median(), kind.counts.total()) for kind in durations.values()]
    known = [(median, number) for median, number in medians if median is not None]
    return sum(median * number for median, number in known) / sum(number for _, number in known) if known else None


def _meanings(module: Any) -> dict[str, Any]:
    """For each task its main metric, and which way each metric is better."""
    return {
        name: {
            "main": task.main_metric,
            "higher_is_better": {
                **{metric: found.higher_is_better is not False for metric, found in task.metrics().items()},
                **dict.fromkeys(task.lower_is_better, False),
                "loss": False,
                task.main_metric: bool(task.higher_is_better),
            },
        }
        for name, task in module.tasks.items()
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)
