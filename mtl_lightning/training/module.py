"""The LightningModule that joins encoder, sharing, tasks and weighting."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_lightning.backward import Executor, Step, synchronise_buffers, take_over_reduction
from mtl_lightning.callbacks.exposure import Exposure
from mtl_lightning.callbacks.skipping import StopWhenNotFinite
from mtl_lightning.checkpoints.finding import find_checkpoint
from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.data import Batch, StepBatch
from mtl_lightning.encoders import Encoder, Representation
from mtl_lightning.sharing import HardSharing, Sharing
from mtl_lightning.tasks import Task
from mtl_lightning.training import randomness
from mtl_lightning.training.compilation import compile_encoder
from mtl_lightning.training.contents import model_contents, refuse_other_tasks
from mtl_lightning.training.evaluating import Evaluations
from mtl_lightning.training.evaluation import Results
from mtl_lightning.training.heads import TrainingLabels, build_heads
from mtl_lightning.training.monitors import check_monitors
from mtl_lightning.training.optimizers import make_optimizer, scheduler_settings, step_on_scores
from mtl_lightning.training.parameter_groups import parameter_groups
from mtl_lightning.training.prediction import decodable, decode
from mtl_lightning.training.randomness import Buffers, RandomState, random_state, same_again, seed_batch
from mtl_lightning.training.shared_parameters import gradient_source, shared_parameters
from mtl_lightning.training.single_examples import check_single_examples
from mtl_lightning.training.starting import take_over
from mtl_lightning.training.step_log import StepLog
from mtl_lightning.training.strategies import refuse_split_model
from mtl_lightning.training.task_names import check_task_names
from mtl_lightning.weighting import EqualWeighting, Weighting


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
        check_task_names(tasks)
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
        self._evaluations = Evaluations()
        self._executor: Executor | None = None
        self._log = StepLog()
        self._random_state: RandomState | None = None
        self._before_step: Buffers = []
        self._seed: int | None = None
        self._metrics: dict[str, float] = {}
        self._init_from: Path | None = None
        self._config: dict[str, Any] | None = None
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
        if stage == "fit":
            check_monitors(self)
        if isinstance(precision := self.trainer.precision_plugin, DoublePrecision | HalfPrecision):
            precision.convert_module(self)  # Lightning does so once a checkpoint has been rounded to float32

    def build(self, training_labels: TrainingLabels | None = None) -> None:
        """Builds the heads, and what computes the gradients.

        Args:
            training_labels: Raw training labels of a task, for tasks whose config leaves something open.

        Raises:
            UserError: If a task lacks label names and there is no training data to take them from.
        """
        build_heads(self.tasks, self.encoder.features, training_labels)
        if self._init_from is not None:
            take_over(self, self._init_from)
        shared = shared_parameters(self.encoder, self.sharing)
        own = {name: [*task.parameters(), *self.sharing.own_parameters(name)] for name, task in self.tasks.items()}
        source = gradient_source(self._gradient_of, shared)
        parameters = [parameter for _, parameter in shared]
        self._executor = Executor(self.weighting, parameters, own, self._head_gradients, source, self._refresh_every)
        self._executor.check_finite = self._max_skipped is not None

    def start_from(self, trained: str | Path) -> None:
        """Takes over a trained model's encoder and the heads whose labels fit, once this model is built.

        The weighting and the optimizer start afresh. What is taken is logged.

        Args:
            trained: A checkpoint, or the folder of a run, which means its best one.

        Raises:
            UserError: If there is no such checkpoint; later, if its encoder or tokenizer is another one.
        """
        self._init_from = find_checkpoint(str(trained), "run", last=False, key="init_from")
        if self._executor is not None:
            take_over(self, self._init_from)

    def configure_callbacks(self) -> list[Callback]:
        """What every training run needs."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return []
        return [Exposure()] if self._max_skipped is None else [Exposure(), StopWhenNotFinite(self._max_skipped)]

    def on_fit_start(self) -> None:
        """Refuses what the executor cannot do, before anything is trained."""
        strategy = self.trainer.strategy
        refuse_split_model(strategy)
        self.executor.scaler = getattr(strategy.precision_plugin, "scaler", None)
        self.executor.discard()
        self._seed = strategy.broadcast(torch.initial_seed() if self._seed is None else self._seed)
        if self._compile_encoder:
            compile_encoder(self.encoder)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Lets go of the last step's gradients before the forward pass, not after it as Lightning does."""
        assert self._seed is not None, "on_fit_start comes first"
        seed_batch(self._seed, self.current_epoch, batch_idx, self.global_rank)
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.zero_grad()
            self._before_step = [] if self._max_skipped is None else randomness.copied_buffers(self._forward_modules)

    def on_train_start(self) -> None:
        """Hands gradient reduction over to the executor."""
        check_single_examples(self, self._forward_modules)
        take_over_reduction(self.trainer.model)
        self.trainer.callback_metrics.update({n: torch.tensor(v, device=self.device) for n, v in self._metrics.items()})

    def on_train_epoch_start(self) -> None:
        """Tells the weighting of the epoch before."""
        self.executor.means.start(self.current_epoch, self.weighting)

    def configure_optimizers(self) -> Any:
        """The optimizer, over the parameters that train, and its scheduler."""
        groups = parameter_groups(self.encoder, [self.heads, self.sharing], self.weighting)
        optimizer = make_optimizer(self._optimizer, groups, self._head_lr_factor)
        if self._lr_scheduler is None:
            return optimizer
        settings = scheduler_settings(self._lr_scheduler, optimizer, self._lr_interval, self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": settings}

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
            randomness.restore(self._before_step)
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
        self._evaluations.update(self, "val", batch)

    def test_step(self, batch: StepBatch, batch_idx: int) -> None:
        """Feeds the metrics."""
        self._evaluations.update(self, "test", batch)

    def on_validation_epoch_start(self) -> None:
        """Starts the metrics, on every process, whatever batches it will see."""
        self._evaluations.start(self, "val")

    def on_test_epoch_start(self) -> None:
        """Starts the metrics, on every process, whatever batches it will see."""
        self._evaluations.start(self, "test")

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics."""
        self.results["val"] = self._evaluations.finish(self, "val")

    def on_validation_end(self) -> None:
        """Lets schedulers that wait for a plateau see the scores."""
        step_on_scores(self)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics."""
        self.results["test"] = self._evaluations.finish(self, "test")

    # -- prediction --------------------------------------------------------------------------------------------------
    def predict_step(self, batch: StepBatch, batch_idx: int) -> list[dict[str, Any]]:
        """Decoded predictions: for each example ``{task: {"label": …, "probability": …}}``."""
        return [row for part in batch.values() for row in self.decode(part)]

    def decode(self, batch: Batch) -> list[dict[str, Any]]:
        """Predictions of all heads on a batch, from one encoder pass."""
        representation: Representation = self.encoder(batch.inputs)
        possible = decodable(self.tasks, representation)
        return decode(possible, self._logits(representation, list(possible)), representation)

    # -- checkpoints -------------------------------------------------------------------------------------------------
    def keep_config(self, config: dict[str, Any]) -> None:
        """Takes the configuration that this model was made of, which its checkpoints then carry.

        Args:
            config: All that ``fit`` was given, as plain data.
        """
        self._config = config

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a checkpoint needs to suffice alone: what tasks learnt from the data, and the encoder's assets."""
        ours = checkpoint.setdefault(CHECKPOINT_KEY, {})
        ours |= model_contents(self.tasks, self.encoder) | {
            **({} if self._config is None else {"config": self._config}),
            **({} if self._executor is None else {"executor": self._executor.state_dict()}),
            "seed": self._seed,
            "log": self._log.state_dict(),
            "metrics": {name: float(value) for name, value in self.trainer.callback_metrics.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of other tasks or other labels, and takes up where it stands."""
        saved = checkpoint[CHECKPOINT_KEY]
        refuse_other_tasks(saved["tasks"], self.tasks)
        if self._executor is not None and "executor" in saved:
            self._executor.load_state_dict(saved["executor"])
        self._seed = saved.get("seed")
        self._log.load_state_dict(saved.get("log", {}))
        self._metrics = dict(saved.get("metrics", {}))

    def _logits(self, representation: Representation, tasks: Sequence[str]) -> dict[str, Tensor]:
        shared = self.sharing(representation, tasks)
        return {name: self.heads[name](shared[name]) for name in tasks}
