"""Training through Lightning: precision, and steps that are skipped because a number is not finite."""

import logging
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision
from test_executor_accidents import Poison
from test_executor_options import Gramian, Logs, assert_same, copied
from test_training_options import (
    FAMILIES,
    Gradients,
    Normalised,
    Steps,
    batch,
    every_family,
    fit,
    module_of,
    normalise,
    write_by_hand,
)
from torch import Tensor

from mtl_lightning.data import Batch
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression
from mtl_lightning.weighting import FAMO, EqualWeighting


# -- precision ---------------------------------------------------------------------------------------------------------
def scaled(scale: float) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=100))


PRECISIONS: dict[str, tuple[dict[str, Any], torch.dtype, torch.dtype | None, float]] = {
    "32-true": ({"precision": "32-true"}, torch.float32, None, 1e-5),
    "bf16-mixed": ({"precision": "bf16-mixed"}, torch.float32, torch.bfloat16, 1e-5),
    "bf16-true": ({"precision": "bf16-true"}, torch.bfloat16, None, 2e-2),
    "16-mixed": ({"precision": None, "plugins": [256.0]}, torch.float32, torch.float16, 1e-5),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@every_family
def test_precision_is_that_of_a_loop_written_by_hand(family: Any, precision: str) -> None:
    options, dtype, autocast, rtol = PRECISIONS[precision]
    options = options | ({"plugins": [scaled(256.0)]} if "plugins" in options else {})
    hidden, gradients = [64, 64, 64], Gradients()  # so wide that the Gramian is made of products of matrices
    steps = [batch(0, dtype=dtype), batch(1, "ac", dtype=dtype)]
    module = module_of(family, dtype=dtype, hidden=hidden)
    fit(module, steps, gradients, accumulate_grad_batches=2, **options)
    twin = module_of(family, dtype=dtype, hidden=hidden)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None, cache_enabled=False):
        weights = write_by_hand(twin, steps, factor=0.5, scale=256.0 if "plugins" in options else 1.0)
    if family is Gramian:
        assert {t: float(w) for t, w in module.step.weights.items()} == pytest.approx(weights, rel=rtol)
    for name, parameter in twin.named_parameters():
        difference = (gradients.found[name] - parameter.grad).norm() / parameter.grad.norm()
        assert difference < (1e-2 if precision == "16-mixed" and family is Logs else rtol), name
        assert gradients.found[name].dtype == parameter.dtype


class Watch(Callback):
    """Keeps the state of module and optimizer before each batch and at the end."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.not_finite: list[tuple[str, ...]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        slots = trainer.optimizers[0].state_dict()["state"]
        values = {f"{i}.{name}": value for i, slot in slots.items() for name, value in slot.items()}
        executor = copied(pl_module.executor.state_dict()["weights"])
        self.states.append(copied(pl_module.state_dict() | values | executor))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.not_finite.append(pl_module.executor.not_finite)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.on_train_batch_start(trainer, pl_module)
        self.scale = getattr(trainer.precision_plugin, "scaler", None) and trainer.precision_plugin.scaler.get_scale()


@pytest.mark.parametrize("family", [*FAMILIES.values(), FAMO], ids=[*FAMILIES, "famo"])
def test_an_overflow_in_fp16_lowers_the_scale_and_changes_nothing(family: Any) -> None:
    watch, module = Watch(), module_of(family, dtype=torch.float32)
    steps = [batch(number, dtype=torch.float32) for number in range(6)]
    fit(module, steps, watch, precision=None, plugins=[scaled(2.0**18)])
    assert 2.0**10 < watch.scale < 2.0**18
    assert_same(watch.states[1], watch.states[0], 0, 0)
    assert not torch.equal(watch.states[-1]["encoder.layers.0.bias"], watch.states[0]["encoder.layers.0.bias"])
    assert all(parameter.isfinite().all() for parameter in module.parameters())


# -- steps that are skipped --------------------------------------------------------------------------------------------
def struck(number: int, accident: str) -> dict[str, Batch]:
    """A batch whose loss of 'c' is not finite: for its target, whose gradient is finite all the same, or its inputs."""
    (part,) = (step := batch(number)).values()
    if accident == "target":
        part.targets["c"][0] = 1e200
    else:
        part.inputs["features"][0] = torch.nan
    return step


@pytest.mark.parametrize("accident", ["target", "inputs"])
@pytest.mark.parametrize("accumulated", [1, 2], ids=["alone", "window"])
@every_family
def test_skipped_steps_are_named_counted_and_leave_no_trace(
    family: Any, accumulated: int, accident: str, caplog: pytest.LogCaptureFixture
) -> None:
    plan: list[Steps] = [[batch(2 * i), batch(2 * i + 1)][:accumulated] for i in range(6)]
    for i in (1, 3, 4):
        plan[i][0] = struck(2 * i, accident)
    watch, module = Watch(), module_of(family, max_skipped=3)
    with caplog.at_level(logging.WARNING, "mtl_lightning"):
        trainer = fit(module, list(chain(*plan)), watch, accumulate_grad_batches=accumulated, gradient_clip_val=0.3)
    ends = watch.states[::accumulated]
    for i in range(6):
        if i in (1, 3, 4):
            assert_same(ends[i + 1], ends[i], 0, 0)
            assert "loss of 'c'" in watch.not_finite[(i + 1) * accumulated - 1]
        else:
            assert watch.not_finite[(i + 1) * accumulated - 1] == ()
            assert not torch.equal(ends[i + 1]["encoder.layers.0.bias"], ends[i]["encoder.layers.0.bias"])
    assert trainer.callback_metrics["train/skipped"] == 3
    assert sum("loss of 'c'" in record.message for record in caplog.records) == 3


@pytest.mark.parametrize("accumulated", [1, 2], ids=["alone", "window"])
@every_family
def test_a_run_that_only_skips_ends_with_a_checkpoint(family: Any, accumulated: int, tmp_path: Path) -> None:
    bad = [struck(number, "inputs") for number in range(4 * accumulated)]
    module = module_of(family, max_skipped=2)
    plan = [batch(8), batch(9)][:accumulated] + bad[: 2 * accumulated]
    watch = Watch()
    with pytest.raises(UserError, match=r"2 steps in a row.*loss of 'a' and loss of 'b' and .*not_finite.ckpt"):
        fit(module, plan, watch, accumulate_grad_batches=accumulated, default_root_dir=tmp_path)
    saved = torch.load(tmp_path / "not_finite.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["state_dict"].values() if isinstance(value, Tensor))
    assert_same(saved["state_dict"], {name: watch.states[accumulated][name] for name in saved["state_dict"]}, 0, 0)
    again = module_of(family, max_skipped=2)
    trainer = fit(again, [batch(7)], checkpoint=tmp_path / "not_finite.ckpt", max_epochs=2)
    assert trainer.callback_metrics["train/loss"].isfinite()


def test_a_skipped_step_leaves_running_statistics_alone() -> None:
    watch = Watch()
    fit(module_of(EqualWeighting, normalise, Normalised), [batch(0), struck(1, "inputs"), batch(2)], watch)
    assert_same(watch.states[2], watch.states[1], 0, 0)


@every_family
def test_gradients_that_never_become_finite_end_an_fp16_run(family: Any, tmp_path: Path) -> None:
    class Bad(Regression):
        def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
            return super().loss(logits, targets) + Poison.apply(self.head.bias, torch.nan)

    module, steps = module_of(family, regression=Bad, dtype=torch.float32), [batch(0, dtype=torch.float32)] * 60
    with pytest.raises(UserError, match="steps in a row"):
        fit(module, steps, precision=None, plugins=[scaled(2.0**16)], default_root_dir=tmp_path)


@every_family
def test_without_a_limit_nobody_waits_for_the_device_to_look(family: Any) -> None:
    module = module_of(family, max_skipped=None)
    trainer = fit(module, [struck(number, "inputs") for number in range(12)])
    assert "train/skipped" not in trainer.callback_metrics
    finite = all(bool(parameter.isfinite().all()) for parameter in module.parameters())
    assert finite == (family is not Logs), "what costs nothing is looked at all the same"
