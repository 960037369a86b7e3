"""Training through Lightning: the trainer's and the module's options."""

from collections import Counter, UserList
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._functorch.config as functorch_config
from functorch.compile import make_boxed_func
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from test_executor_options import Gramian, Jacobian, Logs, assert_same
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR

from mtl_lightning import MultiTaskModule
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import CrossStitch, Sharing
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.weighting import FAMO, EqualWeighting, LossWeighting, UncertaintyWeighting, UPGrad, Weighting

FAMILIES: dict[str, Callable[..., Weighting]] = {"loss": Logs, "gramian": Gramian, "jacobian": Jacobian}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
Steps = list[dict[str, Batch]]


def batch(number: int, tasks: str = "abc", dtype: torch.dtype = torch.float64) -> dict[str, Batch]:
    """One data set of six examples; the same for the same number."""
    random = torch.Generator().manual_seed(number)
    targets = {
        "a": torch.randn(6, generator=random, dtype=torch.float64).to(dtype),
        "b": torch.randint(3, (6,), generator=random),
        "c": torch.randn(6, generator=random, dtype=torch.float64).to(dtype) * 5,
    }
    features = torch.randn(6, 5, generator=random, dtype=torch.float64).to(dtype)
    kept = {task: targets[task] for task in tasks}
    return {"all": Batch({"features": features}, kept, dict.fromkeys(tasks, 6), dict.fromkeys(tasks, 1.0), [0] * 6, 6)}


def module_of(
    weighting: Callable[..., Weighting],
    change: Callable[[Any], None] = lambda encoder: None,
    regression: type[Regression] = Regression,
    dtype: torch.dtype = torch.float64,
    hidden: Sequence[int] = (6, 4),
    **options: Any,
) -> MultiTaskModule:
    """The same weights each time."""
    torch.manual_seed(1)
    tasks = {"a": regression(0.0, 1.0, dropout=0.0), "b": SequenceClassification(["x", "y", "z"], dropout=0.0)}
    tasks["c"] = Regression(0.0, 1.0, dropout=0.0)
    optimizer = options.pop("optimizer", partial(AdamW, lr=0.02, weight_decay=0.1))
    encoder = PerceptronEncoder(5, hidden)
    change(encoder)
    module = MultiTaskModule(encoder, tasks, weighting, optimizer=optimizer, **options)
    module.build()
    return module.to(dtype)


def fit(module: MultiTaskModule, steps: Steps, *callbacks: Callback, checkpoint: Any = None, **options: Any) -> Trainer:
    settings: dict[str, Any] = {"precision": "64-true", "max_epochs": 1, "enable_checkpointing": False, **options}
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        limit_val_batches=0,
        callbacks=list(callbacks),
        **settings,
    )
    trainer.fit(module, UserList(steps), UserList(steps), ckpt_path=checkpoint, weights_only=True)
    return trainer


class Normalised(Regression):
    """Its head has running statistics and dropout."""

    def build(self, features: int) -> None:
        super().build(features)
        self.head = nn.Sequential(nn.BatchNorm1d(features), self.head, nn.Dropout(0.5))


def normalise(encoder: Any) -> None:
    encoder.layers.extend([nn.BatchNorm1d(4), nn.Dropout(0.5)])


class Gradients(Callback):
    """Keeps the gradients that the optimizer sees in its first step, before they are clipped."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        if trainer.global_step == 0:
            self.found = {name: parameter.grad for name, parameter in pl_module.named_parameters()}
            self.found = {name: None if g is None else g.clone() for name, g in self.found.items()}


# -- by hand -----------------------------------------------------------------------------------------------------------
def losses_of(module: MultiTaskModule, step: Mapping[str, Batch]) -> dict[str, Tensor]:
    (part,) = step.values()
    representation = module.encoder(part.inputs)
    return {task: module.tasks[task].loss(module.tasks[task](representation), y) for task, y in part.targets.items()}


def write_by_hand(module: MultiTaskModule, window: Steps, factor: float, scale: float = 1.0) -> dict[str, float]:
    """Writes the gradients of a window; each batch is differentiated once for each task."""
    shared, sums = list(module.encoder.parameters()), dict[str, list[Tensor]]()
    for step in window:
        losses = losses_of(module, step)
        if isinstance(module.weighting, LossWeighting):
            tasks = torch.tensor([module.weighting.tasks.index(task) for task in losses])
            (module.weighting(torch.stack(list(losses.values())), tasks) * factor).backward()
            continue
        for task, loss in losses.items():
            found = torch.autograd.grad(loss * scale, [*shared, *module.heads[task].parameters()], retain_graph=True)
            sums[task] = [sum(pair) for pair in zip(found, sums[task], strict=True)] if task in sums else list(found)
    weights = {}
    counts = Counter(task for step in window for task in step["all"].targets)
    for task, gradients in sums.items():
        mean = torch.cat([g.flatten() for g in gradients[: len(shared)]]).double() / scale / counts[task]
        weights[task] = 0.0 if task == "b" else float(1 / (mean @ mean))
        appearances = counts.total() / len(counts) / counts[task] if isinstance(module.weighting, Jacobian) else 1
        for i, parameter in enumerate([*shared, *module.heads[task].parameters()]):
            part = gradients[i] * (factor / scale) * (weights[task] * appearances if i < len(shared) else 1)
            parameter.grad = part if parameter.grad is None else parameter.grad + part
    return weights


# -- the trainer's options ---------------------------------------------------------------------------------------------
@every_family
def test_a_run_is_the_loop_written_by_hand(family: Any) -> None:
    """Accumulation with a short last window, clipping, a scheduler, a slower head, decay but for the weighting."""
    steps = [batch(number, tasks) for number, tasks in enumerate(["abc", "ac", "c", "abc", "ab"])]
    schedule = partial(LambdaLR, lr_lambda=lambda step: 1 / (1 + step))
    module = module_of(family, lr_scheduler=schedule, head_lr_factor=0.1)
    fit(module, steps, max_epochs=2, accumulate_grad_batches=2, gradient_clip_val=0.3)
    twin = module_of(family)
    groups: list[dict[str, Any]] = [
        {"params": list(twin.encoder.parameters()), "lr": 0.02},
        {"params": list(twin.heads.parameters()), "lr": 0.002},
        {"params": list(twin.weighting.parameters()), "lr": 0.002, "weight_decay": 0.0},
    ]
    optimizer = AdamW(groups, weight_decay=0.1)
    scheduler = schedule(optimizer)
    for window in (steps[:2], steps[2:4], steps[4:]) * 2:
        optimizer.zero_grad()
        write_by_hand(twin, window, factor=0.5)
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.3)
        optimizer.step()
        scheduler.step()
    assert_same(dict(module.named_parameters()), dict(twin.named_parameters()), rtol=1e-6, atol=1e-9)


def test_slower_heads_on_a_frozen_encoder() -> None:
    module = module_of(UncertaintyWeighting, lambda encoder: encoder.requires_grad_(False), head_lr_factor=0.1)
    fit(module, [batch(0)])
    rates = {id(p): group["lr"] for group in module.optimizers().param_groups for p in group["params"]}
    assert {rates[id(p)] for p in (*module.heads.parameters(), *module.weighting.parameters())} == {0.02 * 0.1}


# -- a second forward pass ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_the_second_forward_pass_is_the_first_one_again(precision: str) -> None:
    """Dropout drops the same, and running statistics of encoder and heads are updated once."""
    dtype = torch.float64 if precision == "64-true" else torch.float32
    steps = [batch(number, dtype=dtype) for number in range(3)]
    ends = []
    for weighting in (partial(FAMO, gamma=0.0), EqualWeighting):
        module = module_of(weighting, normalise, Normalised, dtype, optimizer=partial(SGD, lr=0.0))
        fit(module, steps, precision=precision)
        ends.append({name: value for name, value in module.state_dict().items() if "weighting" not in name})
        if isinstance(module.weighting, FAMO):
            assert module.weighting.num_updates.tolist() == [3, 3, 3]
            assert module.weighting.logits.tolist() == [0, 0, 0]
    assert_same(ends[0], ends[1], 0, 0)


# -- the module's options ----------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("family", [EqualWeighting, UPGrad, Jacobian], ids=["loss", "gramian", "jacobian"])
def test_compiled_encoder(family: Any) -> None:
    """The graph is gone through once for each task, so that no backward pass may reuse what was saved for it.

    That holds whatever weighting comes first, as compiled graphs are kept for the next run, in memory and on disk.
    """
    compiled: list[tuple[bool, str]] = []

    def keep(graph: Any, inputs: Any) -> Any:
        compiled.append((functorch_config.donated_buffer, torch.compiler.config.cache_key_tag))
        return make_boxed_func(graph.forward)

    def choose_backend(encoder: Any) -> None:
        encoder.compile = partial(encoder.compile, backend=aot_autograd(fw_compiler=keep))

    found, wanted = Gradients(), Gradients()
    fit(module_of(family), [batch(0)], wanted)
    with functorch_config.patch(donated_buffer=True), torch.compiler.config.patch(cache_key_tag=""):
        fit(module_of(family, choose_backend, compile_encoder=True), [batch(0)], found)
    assert_same(found.found, wanted.found)
    assert len(compiled) == 2, "a forward and a backward graph"
    assert all(not donated and tag for donated, tag in compiled)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("options", [{"refresh_every": 3}, {"refresh_every": 3, "gradient_of": "features"}], ids=str)
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_kept_weights_of_a_run_that_goes_on(options: dict[str, Any], epochs: int, tmp_path: Path) -> None:
    steps = [batch(0), batch(1)]
    saving = partial(ModelCheckpoint, tmp_path, "{epoch}", save_top_k=-1, enable_version_counter=False)
    whole, resumed = module_of(Gramian, **options), module_of(Gramian, **options)
    fit(whole, steps, saving(), enable_checkpointing=True, max_epochs=4)
    checkpoint = tmp_path / f"epoch={epochs - 1}.ckpt"
    fit(resumed, steps, saving(), enable_checkpointing=True, max_epochs=4, checkpoint=checkpoint)
    assert_same(resumed.state_dict(), whole.state_dict(), 0, 0)
    assert whole.weighting.num_calls == 3


def test_gradients_of_the_parameters_that_a_pattern_matches() -> None:
    module, twin = module_of(Gramian, gradient_of="encoder.layers.3.*"), module_of(Gramian)
    gradients = Gradients()
    fit(module, [batch(0)], gradients)
    losses = losses_of(twin, batch(0))
    rows = [
        torch.autograd.grad(t, list(twin.encoder.layers[3].parameters()), retain_graph=True) for t in losses.values()
    ]
    jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    torch.testing.assert_close(module.step.gramian, jacobian @ jacobian.T)
    total = sum(loss * module.step.weights[task] for task, loss in losses.items())
    found = [gradients.found[f"encoder.{name}"] for name, _ in twin.encoder.named_parameters()]
    torch.testing.assert_close(tuple(found), torch.autograd.grad(total, list(twin.encoder.parameters())))


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        (Gramian, {"gradient_of": "encoder.layer.*"}, r"matches no shared parameter .* like 'encoder.layers.3.bias'"),
        (Gramian, {"refresh_every": 0}, "`refresh_every` must be at least 1, found 0"),
        (Jacobian, {"refresh_every": 2}, "which Jacobian has not"),
        (Jacobian, {"head_gradients": "weighted"}, "which Jacobian has not"),
        (Logs, {"gradient_of": "features"}, "Logs does not"),
    ],
)
def test_options_without_a_meaning_are_refused(family: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        module_of(family, **options)


def test_features_that_a_sharing_does_not_make_for_all_tasks_are_refused() -> None:
    with pytest.raises(UserError, match=r"^model.gradient_of: CrossStitch makes no features that all .* `shared`"):
        fit(module_of(Gramian, sharing=CrossStitch, gradient_of="features"), [batch(0)])


class Adapters(Sharing):
    """A layer that the tasks share, and one of each task's own."""

    def __init__(self, tasks: Sequence[str], encoder: Any) -> None:
        super().__init__(tasks, encoder)
        width = encoder.features
        self.common = nn.Linear(width, width, dtype=torch.float64)
        self.adapters = nn.ModuleDict({task: nn.Linear(width, width, dtype=torch.float64) for task in tasks})

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Any]:
        common = self.common(encoded.pooled)
        return {task: encoded._replace(pooled=self.adapters[task](common)) for task in tasks}

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.adapters[task].parameters())


@pytest.mark.parametrize("family", [EqualWeighting, UPGrad, Jacobian], ids=["loss", "gramian", "jacobian"])
def test_parameters_of_single_tasks_in_the_sharing_train(family: Any) -> None:
    module = module_of(family, sharing=Adapters)
    before = {name: value.clone() for name, value in module.sharing.state_dict().items()}
    fit(module, [batch(0)])
    assert all(not torch.equal(value, before[name]) for name, value in module.sharing.state_dict().items())
