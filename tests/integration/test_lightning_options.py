"""No argument of Lightning's Trainer, and no callback of its, gives a traceback: it works, or one line says why not.

Each row is a value and what is said of it; null: the run works.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import lightning.pytorch.callbacks
import pytest
import tiny
import torch

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--evaluate=none")
Row = dict[str, str | None]


def nothing(trainer: Any, pl_module: Any) -> None:
    """A function of the user's own."""


def rows(batch: Any) -> int:
    """Another."""
    return len(batch)


TRAINER: dict[str, Row] = {
    "accelerator": {
        "gpu": "trainer.accelerator: No supported",
        "tpu": "trainer.accelerator",
        "foo": "trainer.accelerator",
    },
    "strategy": {
        "fsdp": "`fsdp2` shards the encoder",
        "ddp_spawn": "use `ddp`",
        "foo": "trainer.strategy",
        "SingleDeviceStrategy": "device",
    },
    "devices": {"0": "trainer.devices", "foo": "trainer.devices", "[0]": "devices"},
    "num_nodes": {"0": "trainer.num_nodes must be at least 1"},
    "precision": {
        "bf16-mixed": None,
        "64-true": None,
        "16-true": None,
        "8": "trainer.precision",
        "transformer-engine": "",
    },
    "logger": {"false": None, "CSVLogger": "trainer.logger.save_dir", "foo": "trainer.logger", "[]": None},
    "callbacks": {"DeviceStatsMonitor": None, "[]": None, "foo": "trainer.callbacks", "true": "trainer.callbacks"},
    "fast_dev_run": {"true": None, "3": None, "-1": "trainer.fast_dev_run"},
    "max_epochs": {"0": None, "-2": "trainer.max_epochs", "1.5": "trainer.max_epochs"},
    "min_epochs": {"2": None},
    "max_steps": {"0": None, "1": None, "-2": "trainer.max_steps"},
    "min_steps": {"3": None},
    "max_time": {"00:00:00:00": None, "{minutes: 1}": None, "foo": "trainer.max_time", "{foo: 1}": "foo"},
    "limit_train_batches": {"0": None, "0.001": "trainer.limit_train_batches", "-1": "trainer.limit_train_batches"},
    "limit_val_batches": {"0": None, "0.5": None, "1.5": "trainer.limit_val_batches"},
    "limit_test_batches": {"1.5": "trainer.limit_test_batches"},
    "limit_predict_batches": {"1.5": "trainer.limit_predict_batches"},
    "overfit_batches": {"0": None, "2": "trainer.overfit_batches", "-1": "trainer.overfit_batches"},
    "val_check_interval": {
        "1": None,
        "0.5": None,
        "100": "trainer.val_check_interval: `val_check_interval` (100) must be less",
        "0": "trainer.val_check_interval must be above 0",
    },
    "check_val_every_n_epoch": {"2": None, "0": "trainer.check_val_every_n_epoch must be at least 1"},
    "num_sanity_val_steps": {"0": None, "-1": None, "-2": None},
    "log_every_n_steps": {"0": None, "1000": None},
    "enable_checkpointing": {"false": None},
    "enable_progress_bar": {"true": None},
    "enable_model_summary": {"true": None},
    "accumulate_grad_batches": {"2": None, "100": None, "0": "trainer.accumulate_grad_batches must be at least 1"},
    "gradient_clip_val": {"1.0": None, "foo": "trainer.gradient_clip_val"},
    "gradient_clip_algorithm": {"value": None, "foo": "trainer.gradient_clip_algorithm"},
    "deterministic": {"true": None, "warn": None, "foo": "trainer.deterministic"},
    "benchmark": {"true": None},
    "inference_mode": {"false": None},
    "use_distributed_sampler": {"false": None},
    "profiler": {"simple": None, "foo": "trainer.profiler"},
    "detect_anomaly": {"true": None},
    "barebones": {"true": ""},
    "plugins": {"TorchCheckpointIO": None, "foo": "trainer.plugins", "MixedPrecision": "trainer.plugins.precision"},
    "sync_batchnorm": {"true": None},
    "reload_dataloaders_every_n_epochs": {"1": None, "-1": "trainer.reload_dataloaders_every_n_epochs"},
    "default_root_dir": {},  # that of every row
    "enable_autolog_hparams": {"false": None},
    "model_registry": {"foo": None},
}

OF_OTHERS = {
    "BackboneFinetuning",
    "BaseFinetuning",
    "EMAWeightAveraging",
    "ModelPruning",
    "StochasticWeightAveraging",
    "WeightAveraging",
}
"""Callbacks that change the model have tests of their own."""

CALLBACKS: dict[str, Row] = {
    "BasePredictionWriter": {"": None},
    "BatchSizeFinder": {"": "set data.batch_size"},
    "Callback": {"": None},
    "Checkpoint": {"": None},
    "DeviceStatsMonitor": {"cpu_stats=true": None},
    "EarlyStopping": {
        "": "trainer.callbacks.monitor",
        "monitor=val/average patience=1": None,
        "monitor=val/avg": "average",
    },
    "GradientAccumulationScheduler": {
        "scheduling={0: 2}": None,
        "scheduling={}": "trainer.callbacks: Empty dict",
        "scheduling={1: 0}": "actor",
    },
    "LambdaCallback": {
        f"on_train_start={__name__}.nothing": None,
        "on_train_start=builtins.print": "not annotated to return anything",
    },
    "LearningRateFinder": {"": "set --model.optimizer.lr", "mode=foo": "mode"},
    "LearningRateMonitor": {"log_momentum=true": None, "logging_interval=foo": "logging_interval"},
    "ModelCheckpoint": {
        "": None,
        "mode=foo": "mode",
        "save_top_k=5": "trainer.callbacks",
        "filename={epoch": "not a format",
    },
    "ModelSummary": {"max_depth=-1": None, "max_depth=foo": "max_depth"},
    "OnExceptionCheckpoint": {"": "dirpath", "dirpath=exceptions": None},
    "ProgressBar": {"": "trainer.enable_progress_bar"},
    "RichModelSummary": {"": None},
    "RichProgressBar": {"": "trainer.enable_progress_bar"},
    "SpikeDetection": {"": "does not work here"},
    "TQDMProgressBar": {"": "trainer.enable_progress_bar"},
    "ThroughputMonitor": {
        f"batch_size_fn={__name__}.rows": None,
        f"batch_size_fn={__name__}.rows window_size=1": "window_size > 1",
        "batch_size_fn=builtins.len": "not annotated",
    },
    "Timer": {
        "": None,
        "duration=00:00:00:00": None,
        "duration=foo": "not a valid duration",
        "interval=foo": "interval",
    },
}

CHECKPOINT: dict[str, Row] = {
    "save_top_k": {"-2": "save_top_k"},
    "mode": {"foo": "mode"},
    "every_n_epochs": {"-1": "every_n_epochs"},
    "train_time_interval": {"foo": "train_time_interval"},
    "filename": {"{val/average:.2f}": None, "{epoch:q": "not a format", "a/b": None},
    "dirpath": {"/proc/nowhere": "checkpoint.dirpath: cannot make the folder"},
    "save_on_exception": {"true": None},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)


def check(rows: Mapping[str, tuple[list[str], str | None]], capsys: Any) -> None:
    """Runs each row: it works, or one line with what is expected."""
    for number, (title, (options, expected)) in enumerate(rows.items()):
        status = tiny.fit(f"run{number}", *SHORT, *options)
        printed = capsys.readouterr().err
        lines = [line for line in printed.splitlines() if line.startswith("error: ")]
        if expected is None:
            assert (status, lines) == (0, []), title
        else:
            assert (status, len(lines)) == (2, 1), (title, lines)
            assert expected in lines[0], title


def test_the_tables_are_whole() -> None:
    assert set(TRAINER) == set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    assert {*CALLBACKS, *OF_OTHERS} == set(lightning.pytorch.callbacks.__all__)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::UserWarning:torch", "ignore::FutureWarning")
@pytest.mark.parametrize("name", [name for name in TRAINER if TRAINER[name]])
def test_an_argument_of_the_trainer(name: str, capsys: Any) -> None:
    check({f"{name}={v}": ([f"--trainer.{name}={v}"], expected) for v, expected in TRAINER[name].items()}, capsys)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::UserWarning:torch", "ignore::FutureWarning")
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback(name: str, capsys: Any) -> None:
    check({f"{name} {given}": (callback(name, given), said) for given, said in CALLBACKS[name].items()}, capsys)


def callback(name: str, given: str) -> list[str]:
    arguments = given.replace(": ", ":\0").split(" ") if given else []
    return [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{a.replace(chr(0), ' ')}" for a in arguments)]


@pytest.mark.parametrize("name", CHECKPOINT)
def test_an_argument_of_the_best_checkpoint(name: str, capsys: Any) -> None:
    check({f"{name}={v}": ([f"--checkpoint.{name}={v}"], said) for v, said in CHECKPOINT[name].items()}, capsys)


def test_a_timer_stops_with_a_checkpoint_an_evaluation_and_json(monkeypatch: Any) -> None:
    looks: list[int] = []

    def elapsed(*args: Any) -> float:
        looks.append(1)
        return 0.0 if len(looks) == 1 else 99.0  # before training it looks, too

    with monkeypatch.context() as patch:
        patch.setattr(lightning.pytorch.callbacks.Timer, "time_elapsed", elapsed)
        assert tiny.fit("run", *callback("Timer", "duration=00:00:00:09"), "--json=fit.json") == 0
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 1
    assert json.loads(Path("fit.json").read_text())["average"] is not None
    assert tiny.fit("run", "--ckpt_path=run", "--evaluate=none") == 0
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 8


def test_an_error_of_a_users_own_code_keeps_its_traceback(monkeypatch: Any) -> None:
    from mtl_lightning.training.module import MultiTaskModule

    def broken(*args: Any) -> None:
        raise ValueError("a mistake in code")

    monkeypatch.setattr(MultiTaskModule, "training_step", broken)
    with pytest.raises(ValueError, match="a mistake in code"):
        tiny.fit("run", *SHORT)
