"""The LightningModule that joins encoder, sharing, tasks and weighting."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, Literal
from zlib import crc32

import torch
import torch._functorch.config as functorch_config
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_lightning.backward import Executor, Step, synchronise_buffers, take_over_reduction
from mtl_lightning.callbacks.exposure import Exposure
from mtl_lightning.callbacks.skipping import StopWhenNotFinite
from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.data import Batch, StepBatch
from mtl_lightning.encoders import Encoder, Representation
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import HardSharing, Sharing
from mtl_lightning.tasks import Task
from mtl_lightning.training.evaluation import Evaluation, Results
from mtl_lightning.training.parameter_groups import parameter_groups
from mtl_lightning.training.randomness import (
    Buffers,
    RandomState,
    copied_buffers,
    random_state,
    restore,
    same_again,
    seed_batch,
)
from mtl_lightning.training.step_log import StepLog
from mtl_lightning.weighting import EqualWeighting, Weighting

_RESERVED = ("average", "joint", "loss")


class MultiTaskModule(LightningModule):
    """One shared encoder, a head per task, and a weighting that balances their losses.

    Logged in training: ``train/loss`` (the objective), ``train/loss/<task>``, ``train/weight/<task>``; where the tasks'
    gradients are known, ``train/gradient/…`` as :func:`mtl_lightning.backward.conflicts` says, and
    ``train/solver_seconds``. In evaluation,
    with ``val`` or ``test`` first: ``val/<task>/<metric>``, ``val/<task>/loss``, ``val/joint/<data set>`` (examples on
    which all tasks are right) and ``val/average`` (mean of the main metrics; checkpoints are chosen by it).

    Args:
        encoder: The shared encoder.
        tasks: The tasks, by name.
        weighting: What balances the losses; it is given the task names.
        sharing: What stands between encoder and heads; it is given the task names and the encoder's width.
        optimizer: The optimizer; it is given the parameters.
        lr_scheduler: The scheduler; it is given the optimizer, and the run's number of optimizer steps if it has a
            parameter ``total_steps`` that the config leaves null.
        lr_interval: Whether the scheduler steps every optimizer step or every epoch.
        head_lr_factor: Learning rate of heads and weighting, relative to the encoder's.
        head_gradients: What heads receive from a Gramian or Jacobian method, see :class:`Executor`.
        gradient_of: What a Gramian method sees the gradients of: all ``shared`` parameters, the encoder's ``features``,
            or the shared parameters whose name matches a pattern, such as ``encoder.*layer.11.*`` or ``*lora*``.
        refresh_every: Optimizer steps between two times that a Gramian method's weights are computed, null for 1. For a
            loss weighting: between two times that the tasks' gradients are computed, for the log alone, null for never.
        max_skipped: After how many optimizer steps in a row that are skipped because a number is not finite the run
            ends; null: do not look for such numbers where that would make the host wait for the device.
        compile_encoder: Whether to compile the encoder with ``torch.compile``.

    Attributes:
        step: What the newest optimizer step found; see :class:`mtl_lightning.backward.Step`.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: dict[str, Task],
        weighting: Callable[[Sequence[str]], Weighting] = EqualWeighting,
        sharing: Callable[[Sequence[str], int], Sharing] = HardSharing,
        optimizer: Callable[[Iterable[Any]], Optimizer] = torch.optim.AdamW,
        lr_scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        lr_interval: Literal["step", "epoch"] = "step",
        head_lr_factor: float = 1.0,
        head_gradients: Literal["own", "weighted"] = "own",
        gradient_of: str = "shared",
        refresh_every: int | None = None,
        max_skipped: int | None = 10,
        compile_encoder: bool = False,
    ) -> None:
        super().__init__()
        _check_names(tasks)
        self.encoder = encoder
        self.heads = nn.ModuleDict(tasks)
        self.weighting = weighting(list(tasks))
        self.sharing = sharing(list(tasks), encoder.features)
        self.results: dict[str, Results] = {}
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self._lr_interval = lr_interval
        self._head_lr_factor = head_lr_factor
        self._head_gradients: Literal["own", "weighted"] = head_gradients
        self._gradient_of = gradient_of
        self._refresh_every = refresh_every
        self._max_skipped = max_skipped
        self._compile_encoder = compile_encoder
        self._evaluations: dict[str, Evaluation] = {}
        self._executor: Executor | None = None
        self._log = StepLog()
        self._random_state: RandomState | None = None
        self._before_step: Buffers = []
        self._seed: int | None = None
        self._metrics: dict[str, float] = {}
        self.step: Step | None = None

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks, by name."""
        return dict(self.heads.items())  # type: ignore[arg-type]

    @property
    def executor(self) -> Executor:
        """What computes the gradients; there is one once ``build`` was called."""
        assert self._executor is not None, "build() comes first"
        return self._executor

    @property
    def _forward_modules(self) -> list[nn.Module]:
        """What a forward pass goes through."""
        return [self.encoder, self.sharing, self.heads]

    def forward(self, inputs: dict[str, Tensor], tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Logits of ``tasks`` (null: all), from one encoder pass.

        Args:
            inputs: The encoder's inputs, each [B, ...].
            tasks: Names of the tasks wanted.
        """
        return self._logits(self.encoder(inputs), list(self.heads) if tasks is None else tasks)

    # -- set-up ------------------------------------------------------------------------------------------------------
    def setup(self, stage: str) -> None:
        """Completes the tasks by what the training data says and builds their heads."""
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        if self._executor is None:
            self.build(getattr(self.trainer.datamodule, "training_labels", None))  # type: ignore[attr-defined]
        if isinstance(precision := self.trainer.precision_plugin, DoublePrecision | HalfPrecision):
            precision.convert_module(self)  # Lightning does so once a checkpoint has been rounded to float32

    def build(self, training_labels: Callable[[str], Iterable[Any]] | None = None) -> None:
        """Builds the heads. Their first weights depend on the seed and the task's name alone.

        Args:
            training_labels: Raw training labels of a task, for tasks whose config leaves something open.

        Raises:
            UserError: If a task lacks label names and there is no training data to take them from.
        """
        for name, task in self.tasks.items():
            if not task.adapted() and training_labels is None:
                raise UserError(f"model.tasks.{name}: without training data it needs its labels in the config")
            values = [] if task.adapted() or training_labels is None else training_labels(name)
            try:
                if not task.adapted():
                    task.adapt(values)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed((torch.initial_seed() + crc32(name.encode())) % 2**63)
                    task.build(self.encoder.features)
            except UserError as error:
                raise UserError(f"model.tasks.{name}: {error}") from error
        shared = [
            *((f"encoder.{name}", p) for name, p in self.encoder.named_parameters()),
            *((f"sharing.{i}", p) for i, p in enumerate(self.sharing.shared_parameters())),
        ]
        self._executor = Executor(
            self.weighting,
            [parameter for _, parameter in shared],
            {name: [*task.parameters(), *self.sharing.own_parameters(name)] for name, task in self.tasks.items()},
            self._head_gradients,
            self._gradient_source(shared),
            self._refresh_every,
        )
        self._executor.check_finite = self._max_skipped is not None

    def _gradient_source(
        self, shared: Sequence[tuple[str, nn.Parameter]]
    ) -> Literal["shared", "features"] | list[nn.Parameter]:
        if self._gradient_of == "shared":
            return "shared"
        if self._gradient_of == "features":
            return "features"
        names = [name for name, parameter in shared if parameter.requires_grad]
        found = [p for name, p in shared if p.requires_grad and fnmatchcase(name, self._gradient_of)]
        if not found:
            some = f"their names are like '{names[-1]}'" if names else "there are none"
            raise UserError(f"model.gradient_of: '{self._gradient_of}' matches no shared parameter that trains; {some}")
        return found

    def configure_callbacks(self) -> list[Callback]:
        """What every training run needs."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return []
        return [Exposure()] if self._max_skipped is None else [Exposure(), StopWhenNotFinite(self._max_skipped)]

    def on_fit_start(self) -> None:
        """Refuses what the executor cannot do, before anything is trained."""
        strategy = self.trainer.strategy
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
            name = type(strategy).__name__
            raise UserError(f"trainer.strategy: {name} shards or splits the model; use `ddp` or one device")
        self.executor.scaler = getattr(strategy.precision_plugin, "scaler", None)
        self.executor.discard()
        self._seed = strategy.broadcast(torch.initial_seed() if self._seed is None else self._seed)
        if self._compile_encoder:
            if functorch_config.donated_buffer:  # graphs are gone through once for each task
                functorch_config.donated_buffer = False
                torch.compiler.config.cache_key_tag += "no donated buffers"
                torch.compiler.reset()
            self.encoder.compile(dynamic=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Lets go of the last step's gradients before the forward pass, not after it as Lightning does."""
        assert self._seed is not None, "on_fit_start comes first"
        seed_batch(self._seed, self.current_epoch, batch_idx, self.global_rank)
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.zero_grad()
            self._before_step = [] if self._max_skipped is None else copied_buffers(self._forward_modules)

    def on_train_start(self) -> None:
        """Hands gradient reduction over to the executor."""
        take_over_reduction(self.trainer.model)
        self.trainer.callback_metrics.update({n: torch.tensor(v, device=self.device) for n, v in self._metrics.items()})

    def on_train_epoch_start(self) -> None:
        """Tells the weighting of the epoch before."""
        self.executor.means.start(self.current_epoch, self.weighting)

    def configure_optimizers(self) -> Any:
        """The optimizer, over the parameters that train, and its scheduler."""
        groups = parameter_groups(self.encoder, [self.heads, self.sharing], self.weighting)
        optimizer: Optimizer = _made("model.optimizer", self._optimizer, groups)
        for group in optimizer.param_groups:
            if group["name"] != "encoder":
                group["lr"] *= self._head_lr_factor
        if self._lr_scheduler is None:
            return optimizer
        scheduler = _made("model.lr_scheduler", self._lr_scheduler, optimizer, **self._total_steps())
        settings: dict[str, Any] = {"scheduler": scheduler, "interval": self._lr_interval}
        if isinstance(scheduler, ReduceLROnPlateau):
            every = self.trainer.check_val_every_n_epoch or 1
            monitor = getattr(scheduler, "monitor", "val/average")
            settings |= {"interval": "epoch", "frequency": every, "monitor": monitor}
            if settings["monitor"] == "val/average" and scheduler.mode != "max":
                raise UserError("model.lr_scheduler: val/average is better when higher: set `mode: max`")
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def _total_steps(self) -> dict[str, int]:
        """The run's number of optimizer steps, if the scheduler asks for it and the config does not say."""
        wanted = getattr(self._lr_scheduler, "keywords", {})
        if "total_steps" not in wanted or wanted["total_steps"] is not None:
            return {}
        steps = self.trainer.estimated_stepping_batches
        if not isfinite(steps):
            end = "set `total_steps`, trainer.max_epochs or trainer.max_steps"
            raise UserError(f"model.lr_scheduler: the run has no end: {end}")
        return {"total_steps": int(steps)}

    # -- training ----------------------------------------------------------------------------------------------------
    def training_step(self, batch: StepBatch, batch_idx: int) -> Tensor:
        """The objective of a step; the gradients follow in ``backward``."""
        if self.weighting.needs_losses_after:
            self._random_state = random_state(self.device)
        last = not self.trainer.fit_loop._should_accumulate()
        parts = list(batch.values())
        for number, part in enumerate(parts):
            losses, features = self._losses(part)
            later = {task for other in parts[number + 1 :] for task in other.shares}
            self.executor.add(losses, part.shares, features, complete=set(part.shares) - later if last else ())
        step = self.executor.combine(last)
        if step.losses:
            self.step = step
            self._log.add(self, step)
        return step.objective

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lets the executor write the gradients."""
        self.executor.backward(loss)
        if self.executor.not_finite:
            restore(self._before_step)
        synchronise_buffers(self._forward_modules)

    def on_train_batch_end(self, outputs: Any, batch: StepBatch, batch_idx: int) -> None:
        """Runs the batch again where the weighting wants to know what the optimizer step has done."""
        last = not self.trainer.fit_loop._should_accumulate()
        if self.weighting.needs_losses_after and last and not (self.executor.not_finite or self.executor.overflow):
            assert self._random_state is not None
            precision = self.trainer.precision_plugin
            with same_again(self._forward_modules, self._random_state), torch.no_grad(), precision.train_step_context():
                self.executor.finish_step((self._losses(part)[0], part.shares) for part in batch.values())

    def _losses(self, batch: Batch) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The loss of each task that has labels in a batch, and the features that they were computed from."""
        present = [task for task, share in batch.shares.items() if share > 0]
        representation: Representation = self.encoder(batch.inputs)
        logits = self._logits(representation, present)
        features = [tensor for tensor in (representation.pooled, representation.tokens) if tensor is not None]
        return {task: self.tasks[task].loss(logits[task], batch.targets[task]) for task in present}, features

    # -- evaluation --------------------------------------------------------------------------------------------------
    def validation_step(self, batch: StepBatch, batch_idx: int) -> None:
        """Feeds the metrics."""
        self._evaluate("val", batch)

    def test_step(self, batch: StepBatch, batch_idx: int) -> None:
        """Feeds the metrics."""
        self._evaluate("test", batch)

    def on_validation_epoch_start(self) -> None:
        """Starts the metrics, on every process, whatever batches it will see."""
        self._start("val")

    def on_test_epoch_start(self) -> None:
        """Starts the metrics, on every process, whatever batches it will see."""
        self._start("test")

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Logs the metrics."""
        self._finish("test")

    def _start(self, stage: str) -> None:
        if stage not in self._evaluations:
            sources = getattr(self.trainer.datamodule, "datasets", {})  # type: ignore[attr-defined]
            several = [name for name, source in sources.items() if len(source.labels) > 1]
            self._evaluations[stage] = Evaluation(self.tasks, several).to(self.device)

    def _evaluate(self, stage: str, batch: StepBatch) -> None:
        for dataset, part in batch.items():
            logits = self.forward(part.inputs, list(part.targets))
            self._evaluations[stage].update(dataset, self.tasks, logits, part.targets, part.counts)

    def _finish(self, stage: str) -> None:
        evaluation = self._evaluations[stage]
        results = self.results[stage] = evaluation.compute(self.tasks)
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            evaluation.warn_of_undefined(results, stage)
        evaluation.reset()
        for task, metrics in results.metrics.items():
            self.log_dict({f"{stage}/{task}/{name}": value for name, value in metrics.items()})
        self.log_dict({f"{stage}/joint/{dataset}": value for dataset, value in results.joint.items()})
        self.log(f"{stage}/average", results.average, prog_bar=True)
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            losses = {name: metrics["loss"] for name, metrics in results.metrics.items() if "loss" in metrics}
            tasks = torch.tensor([self.weighting.tasks.index(name) for name in losses], dtype=torch.long)
            self.weighting.on_validation_end(torch.tensor(list(losses.values()), dtype=torch.float64), tasks)
            if progress := getattr(self.trainer.datamodule, "progress", None):  # type: ignore[attr-defined]
                for name, found in results.metrics.items():
                    progress.scores.add(name, found[self.tasks[name].main_metric], self.tasks[name].higher_is_better)

    # -- prediction --------------------------------------------------------------------------------------------------
    def predict_step(self, batch: StepBatch, batch_idx: int) -> list[dict[str, Any]]:
        """Decoded predictions: for each example ``{task: {"label": …, "probability": …}}``."""
        return [row for part in batch.values() for row in self.decode(part)]

    def decode(self, batch: Batch) -> list[dict[str, Any]]:
        """Predictions of all heads on a batch, from one encoder pass."""
        representation: Representation = self.encoder(batch.inputs)
        possible = [n for n, t in self.tasks.items() if t.level == "pooled" or representation.tokens is not None]
        logits = self._logits(representation, possible)
        decoded = {name: self.tasks[name].decode(logits[name], representation.mask) for name in possible}
        return [dict(zip(decoded, row, strict=True)) for row in zip(*decoded.values(), strict=True)]

    # -- checkpoints -------------------------------------------------------------------------------------------------
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a checkpoint needs to suffice alone: what tasks learnt from the data, and the encoder's assets."""
        assets = self.encoder.assets()
        checkpoint[CHECKPOINT_KEY] = {
            **checkpoint.get(CHECKPOINT_KEY, {}),
            "tasks": {name: task.adapted() for name, task in self.tasks.items()},
            "assets": {"files": dict(assets.files), "init_args": dict(assets.init_args)},
            **({} if self._executor is None else {"executor": self._executor.state_dict()}),
            "seed": self._seed,
            "log": self._log.state_dict(),
            "metrics": {name: float(value) for name, value in self.trainer.callback_metrics.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of other tasks or other labels."""
        saved = checkpoint[CHECKPOINT_KEY]["tasks"]
        if list(saved) != list(self.tasks):
            raise UserError(f"the checkpoint's tasks are {', '.join(saved)}; the config's are {', '.join(self.tasks)}")
        for name, task in self.tasks.items():
            if saved[name] != task.adapted():
                raise UserError(
                    f"model.tasks.{name}: the checkpoint was trained on {saved[name]}, not {task.adapted()}"
                )

        if self._executor is not None and "executor" in checkpoint[CHECKPOINT_KEY]:
            self._executor.load_state_dict(checkpoint[CHECKPOINT_KEY]["executor"])
        self._seed = checkpoint[CHECKPOINT_KEY].get("seed")
        self._log.load_state_dict(checkpoint[CHECKPOINT_KEY].get("log", {}))
        self._metrics = dict(checkpoint[CHECKPOINT_KEY].get("metrics", {}))

    def _logits(self, representation: Representation, tasks: Sequence[str]) -> dict[str, Tensor]:
        shared = self.sharing(representation, tasks)
        return {name: self.heads[name](shared[name]) for name in tasks}


def _check_names(tasks: Mapping[str, Task]) -> None:
    if not tasks:
        raise UserError("model.tasks is empty; name at least one task")
    for name in tasks:
        if not _is_task_name(name):
            word = re.sub(r"\W", "_", name)
            better = next(n for n in (word, f"{word}_task", f"task_{word}") if _is_task_name(n))
            raise UserError(f"model.tasks.{name}: '{name}' cannot be a task's name; try '{better}'")


def _is_task_name(name: str) -> bool:
    return name.isidentifier() and name not in _RESERVED and not hasattr(nn.ModuleDict, name)


def _made(key: str, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a configured class makes of its arguments; what it refuses is said of its key."""
    try:
        return make(*args, **kwargs)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error
