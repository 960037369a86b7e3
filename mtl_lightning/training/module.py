"""The LightningModule that joins encoder, sharing, tasks and weighting."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_lightning.backward import Executor, Step, forget, synchronise_buffers, take_over_reduction
from mtl_lightning.chains import Chain, Link
from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.data import StepBatch
from mtl_lightning.encoders import Encoder
from mtl_lightning.inner_loops import InnerLoop
from mtl_lightning.sharing import HardSharing, Sharing
from mtl_lightning.tasks import Task
from mtl_lightning.training import adapting, randomness
from mtl_lightning.training.adapted import AdaptedModule
from mtl_lightning.training.adding import add_training, add_validation
from mtl_lightning.training.companions import companions
from mtl_lightning.training.compilation import compile_encoder
from mtl_lightning.training.completion import TrainingInputs, complete_encoder
from mtl_lightning.training.distilling import Distillation, Distilled
from mtl_lightning.training.factories import refuse_instances
from mtl_lightning.training.heads import TrainingLabels, build_heads, check_encoder_alone, check_maps, meet
from mtl_lightning.training.joint_pass import Parts, run_through
from mtl_lightning.training.model_first import ModelFirst
from mtl_lightning.training.monitors import check_monitors
from mtl_lightning.training.optimizers import configured
from mtl_lightning.training.parameter_groups import Grouping
from mtl_lightning.training.perturbing import Repeated
from mtl_lightning.training.randomness import Buffers, RandomState, random_state, same_again, seed_batch
from mtl_lightning.training.refused_callbacks import refuse_callbacks
from mtl_lightning.training.run_state import add_run_state, take_up
from mtl_lightning.training.sharded import check_strategy
from mtl_lightning.training.shared_parameters import check_gradient_source, shared_parameters
from mtl_lightning.training.single_examples import check_single_examples
from mtl_lightning.training.starting import take_over
from mtl_lightning.training.step_log import StepLog
from mtl_lightning.training.supervision import Labels, Supervision
from mtl_lightning.training.task_names import check_task_names
from mtl_lightning.training.told_apart import warn_of_same_beginnings
from mtl_lightning.training.trained import TrainedParameters, weighting_of
from mtl_lightning.training.walk import parameters_and_buffers
from mtl_lightning.weighting import EqualWeighting, Weighting

__all__ = ["MultiTaskModule"]


class MultiTaskModule(AdaptedModule):
    """One shared encoder, a head per task, and a weighting that balances their losses.

    Logged in training: ``train/loss`` (the objective), ``train/loss/<task>``, ``train/weight/<task>``, and
    ``train/term/<name>`` of loss terms that sharing and chain add; of experts ``train/expert/…``,
    ``train/gate_entropy/…`` and ``train/dead_experts`` as :func:`.expert_log.expert_log` says; where the tasks'
    gradients are known, ``train/gradient/…`` as :func:`mtl_lightning.backward.conflicts` says, and
    ``train/solver_seconds``. In evaluation, with ``val`` or ``test`` first: ``val/<task>/<metric>``,
    ``val/<task>/loss``, ``val/joint/<data set>`` (examples on which all tasks are right) and ``val/average`` (mean of
    the main metrics; checkpoints are chosen by it).

    Args:
        encoder: The shared encoder.
        tasks: The tasks, by name.
        weighting: What balances the losses; it is given the task names.
        sharing: What stands between inputs and heads; it is given the task names and the encoder.
        chain: Of a task that reads other tasks' outputs: how, such as ``ESMM``. A joint output is such a task, too.
        optimizer: The optimizer; it is given the parameters.
        lr_scheduler: The scheduler; it is given the optimizer, and the run's number of optimizer steps if it has a
            parameter ``total_steps`` that the config leaves null.
        lr_interval: Whether the scheduler steps every optimizer step or every epoch.
        head_lr_factor: Learning rate of heads and weighting, relative to the encoder's.
        layer_decay: Learning rate of an encoder's layer, relative to that of the layer above, say 0.9; null: the same
            for all. The embeddings are the lowest layer, the heads stand above the highest.
        no_decay: Whether biases and the parameters of normalisation are spared the optimizer's weight decay.
        head_gradients: What heads receive from a Gramian or Jacobian method, see :class:`Executor`.
        gradient_of: What a Gramian method sees the gradients of: all ``shared`` parameters, the encoder's ``features``,
            those whose name matches a pattern such as ``*layer.11.*``, or each of the ``layers``, with its own weights.
        refresh_every: Optimizer steps between two times that a Gramian method's weights are computed, null for 1. For a
            loss weighting: between two times that the tasks' gradients are computed, for the log alone, null for never.
        max_skipped: After how many optimizer steps in a row that are skipped because a number is not finite the run
            ends; null: do not look for such numbers where that would make the host wait for the device.
        compile_encoder: Whether to compile the encoder with ``torch.compile``.
        distil: What trained models teach this one beside the labels, and how; see :class:`.Distillation`.
        inner_loop: How the model adapts to the support sets of ``data.episodes``; null: not at all.

    Attributes:
        step: What the newest optimizer step found; see :class:`mtl_lightning.backward.Step`.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: dict[str, Task],
        weighting: Callable[[Sequence[str]], Weighting] = EqualWeighting,
        sharing: Callable[[Sequence[str], Encoder], Sharing] = HardSharing,
        chain: dict[str, Link] | None = None,
        optimizer: Callable[[Iterable[Any]], Optimizer] = torch.optim.AdamW,
        lr_scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        lr_interval: Literal["step", "epoch"] = "step",
        head_lr_factor: float = 1.0,
        layer_decay: float | None = None,
        no_decay: bool = False,
        head_gradients: Literal["own", "weighted"] = "own",
        gradient_of: str = "shared",
        refresh_every: int | None = None,
        max_skipped: int | None = 10,
        compile_encoder: bool = False,
        distil: Distillation | None = None,
        inner_loop: InnerLoop | None = None,
    ) -> None:
        super().__init__()
        check_task_names(tasks)
        self.encoder = encoder
        self.heads = nn.ModuleDict(tasks)
        meet(tasks, encoder)
        refuse_instances(weighting=weighting, sharing=sharing)
        self.chain = Chain(chain or {}, list(tasks))
        self.weighting = weighting_of(weighting, self.chain.trained, gradient_of)
        self.sharing = sharing(self.chain.readers, encoder)
        self._optimization = (optimizer, lr_scheduler, lr_interval)
        self.grouping = Grouping(head_lr_factor, layer_decay, no_decay)
        self._head_gradients: Literal["own", "weighted"] = head_gradients
        self._gradient_of = gradient_of
        self._refresh_every, self._max_skipped = refresh_every, max_skipped
        self._compile_encoder = compile_encoder
        self.supervision: Supervision = Labels() if distil is None else Distilled(distil, MultiTaskModule)
        self.inner_loop = inner_loop
        self._executor: Executor | None = None
        self._log = StepLog()
        self._trained = TrainedParameters(gradient_of)
        self._random_state: RandomState | None = None
        self._before_step: Buffers = []
        self._parts: list[Parts] = []
        self.repeated = Repeated()
        self._seed: int | None = None
        self._metrics: dict[str, float] = {}
        self.step: Step | None = None

    @property
    def executor(self) -> Executor:
        """What computes the gradients; there is one once ``build`` was called."""
        assert self._executor is not None, "build() comes first"
        return self._executor

    @property
    def batches_per_step(self) -> int:
        """How many independent batches the weighting takes an optimizer step."""
        return self.weighting.batches_per_step

    # -- set-up ------------------------------------------------------------------------------------------------------
    def setup(self, stage: str) -> None:
        """Builds what no callback has needed yet, and refuses monitors of what is never measured."""
        super().setup(stage)
        self.make_whole()
        if stage == "fit":
            check_monitors(self)
            warn_of_same_beginnings(self)
            adapting.check(self)

    def make_whole(self) -> None:
        """Completes the tasks by what the training data says and builds their heads, unless that is done."""
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        if self._executor is None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self.build(getattr(data, "training_labels", None), getattr(data, "training_inputs", None))
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.supervision.start(self)
        if isinstance(precision := self.trainer.precision_plugin, DoublePrecision | HalfPrecision):
            precision.convert_module(self)  # Lightning does so once a checkpoint has been rounded to float32

    def build(self, training_labels: TrainingLabels | None = None, inputs: TrainingInputs | None = None) -> None:
        """Completes the encoder, builds the heads, and what computes the gradients.

        Args:
            training_labels: Raw training labels of a task, for tasks whose config leaves something open.
            inputs: Raw inputs of the training data, for an encoder that learns something of them first.

        Raises:
            UserError: If labels or columns are unknown, and there is no training data to take them from.
        """
        complete_encoder(self.encoder, self, inputs, self._init_from or self.goes_on_from)
        check_encoder_alone(self.tasks, self.sharing)
        check_maps(self.tasks, self.sharing)
        build_heads(self.tasks, self.sharing.features, training_labels, self.chain)
        if self._init_from is not None:
            take_over(self, self._init_from)
        adapting.arrange(self)
        check_gradient_source(self._gradient_of, shared_parameters(self.encoder, self.sharing))
        shared, own, source = self._trained.of(self)
        self._executor = Executor(self.weighting, shared, own, self._head_gradients, source, self._refresh_every)
        self._executor.check_finite = self._max_skipped is not None
        self.is_built = True

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The parameters that train now, as the optimizer is given them."""
        behind, sharing = [self.heads, self.sharing, self.chain, *self.supervision.modules_of_its_own], self.sharing
        behind += [self.inner_loop] if self.inner_loop else []
        return self.grouping.groups(self.encoder, behind, self.weighting, sharing.copies(), sharing.lr_factors())

    def configure_callbacks(self) -> list[Callback]:
        """What every training run needs; refuses callbacks that cannot work."""
        refuse_callbacks(self.trainer.callbacks)  # type: ignore[attr-defined]
        ModelFirst.install(self.trainer)
        if self.trainer.state.fn != TrainerFn.FITTING:
            return []
        check_strategy(self)
        return companions(self, self._max_skipped)

    def on_fit_start(self) -> None:
        """Refuses what the executor cannot do, before anything is trained."""
        strategy = self.trainer.strategy
        self.executor.scaler = getattr(strategy.precision_plugin, "scaler", None)
        self.executor.discard()
        self._trained.arrange(self)
        self._seed = strategy.broadcast(torch.initial_seed() if self._seed is None else self._seed)
        if self._compile_encoder:
            compile_encoder(self.sharing)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Lets go of the last step's gradients before the forward pass, not after it as Lightning does."""
        assert self._seed is not None, "on_fit_start comes first"
        seed_batch(self._seed, self.current_epoch, batch_idx, self.global_rank, self.device)
        self.executor.setup.num_accumulated = self.trainer.accumulate_grad_batches // self.batches_per_step
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            parameters, buffers = parameters_and_buffers(self, apart=self.weighting)
            forget(parameters)
            self._trained.follow(self, parameters)
            self.repeated.clear()
            self._before_step = [] if self._max_skipped is None else randomness.copied(buffers)

    def on_train_start(self) -> None:
        """Hands gradient reduction over to the executor."""
        check_single_examples(self, self.forward_modules)
        take_over_reduction(self.trainer.model)
        self._trained.start(self)
        self.trainer.callback_metrics.update({n: torch.tensor(v, device=self.device) for n, v in self._metrics.items()})

    def on_train_epoch_start(self) -> None:
        """Tells the weighting of the epoch before."""
        self.executor.start_epoch(self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Lets schedulers know of what callbacks have given the optimizer, before they step."""
        self._trained.follow(self)

    def configure_optimizers(self) -> Any:
        """The optimizer, over the parameters that train, and its scheduler."""
        return self._trained.configured(self, configured(self.parameter_groups(), *self._optimization, self._trainer))

    # -- training ----------------------------------------------------------------------------------------------------
    def training_step(self, batch: StepBatch, batch_idx: int) -> Tensor:
        """The objective of a step; the gradients follow in ``backward``."""
        if self.trainer.fit_loop._skip_backward:  # an epoch for the running statistics of averaged weights
            return run_through(self, batch)
        if self.weighting.needs_losses_after:
            self._random_state = random_state(self.device)
        last = not self.trainer.fit_loop._should_accumulate()
        ends = last or (batch_idx + 1) % self.executor.setup.num_accumulated == 0
        self._parts = add_training(self, batch, ends, of_features=self._gradient_of == "features")
        add_validation(self, batch)
        if last:
            self.repeated.add_perturbed(self)
        step = self.executor.combine(last)
        if step.losses:
            self.step = step._replace(objective=step.objective.detach())
            self._log.add(self, self.step)
        return step.objective

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lets the executor write the gradients."""
        self.executor.backward(loss)
        if self.executor.not_finite:
            randomness.restore(self._before_step)
        synchronise_buffers(self.forward_modules)

    def on_train_batch_end(self, outputs: Any, batch: StepBatch, batch_idx: int) -> None:
        """Runs the batch again where the weighting wants to know what the optimizer step has done."""
        if self.executor.needs_losses_after:
            assert self._random_state is not None
            precision = self.trainer.precision_plugin
            with same_again(self.forward_modules, self._random_state), torch.no_grad(), precision.train_step_context():
                self.executor.finish_step((found.losses, found.shares) for found in map(self.losses, self._parts))

    # -- checkpoints -------------------------------------------------------------------------------------------------
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a checkpoint needs to suffice alone."""
        add_run_state(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of another model, and takes up where it stands."""
        take_up(self, checkpoint)
