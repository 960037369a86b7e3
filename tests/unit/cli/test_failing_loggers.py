"""A logger that fails does not end a run, and never hides why a run ended."""

import logging
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger

from mtl_lightning.callbacks.careful_loggers import NoAnswerError, at_most, careful, left_out
from mtl_lightning.cli import wandb_service
from mtl_lightning.cli.run_log import RunLog
from mtl_lightning.cli.wandb_service import finish_wandb
from mtl_lightning.writing import CannotWriteError


class Broken(Logger):
    """Fails from a call on."""

    def __init__(self, works: int = 0) -> None:
        self.works = works
        self.calls = 0

    @property
    def name(self) -> str:
        return "broken"

    @property
    def version(self) -> str:
        return "0"

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.calls += 1
        if self.calls > self.works:
            raise ConnectionResetError("nobody\nlistens")

    log_hyperparams = log_metrics


class End(Callback):
    """Sends a signal to the service after the third step."""

    def __init__(self, number: str) -> None:
        self.number = number

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 3:
            import wandb

            os.kill(wandb.setup()._connection._proc._process.pid, getattr(signal, self.number))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("works", [0, 3])
def test_training_goes_on_without_it(folder: Path, caplog: pytest.LogCaptureFixture, works: int) -> None:
    given = f"--trainer.logger={{class_path: {__name__}.Broken, init_args: {{works: {works}}}}}"
    assert tiny.fit("run", given, "--json=scores.json") == 0
    assert caplog.text.count("Broken is left out from here on; training continues: nobody listens") == 1
    for name in ("scores.json", "run/metrics.csv", "run/checkpoints/last.ckpt"):
        assert (folder / name).stat().st_size


def test_it_is_left_alone_afterwards() -> None:
    logger = careful(Broken())
    for _ in range(3):
        logger.log_metrics({"a": 1.0}, 0)
    assert left_out(logger) and isinstance(logger, Broken) and logger.calls == 1


def test_what_asks_the_run_to_stop_is_no_failure() -> None:
    logger = careful(Broken(works=1))
    logger.log_metrics = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        logger.log_metrics({}, 0)


def test_time_is_limited() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(NoAnswerError, match=r"no answer for 0\.01 seconds"), at_most(0.01):
        signal.pause()
    with at_most(0):
        pass
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_wandb_whose_service_is_gone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    callback = f'--trainer.callbacks=[{{"class_path": "{__name__}.End", "init_args": {{"number": "SIGKILL"}}}}]'
    assert tiny.fit("run", callback, "--wandb=offline", "--json=scores.json") == 0
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len([line for line in lines if "WandbLogger is left out" in line]) == 1
    assert not [line for line in lines if "Weights & Biases" in line]
    assert (folder / "scores.json").stat().st_size


def test_wandb_whose_service_does_not_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    callback = f'--trainer.callbacks=[{{"class_path": "{__name__}.End", "init_args": {{"number": "SIGSTOP"}}}}]'
    monkeypatch.setattr(wandb_service, "at_most", lambda seconds: at_most(0.5))
    assert tiny.fit("run", callback, "--wandb=offline") == 0
    assert "Weights & Biases may miss the end of this run: no answer for 0.5 seconds" in caplog.text


@pytest.mark.parametrize("raised", [ConnectionResetError("gone"), KeyboardInterrupt()], ids=["failure", "ctrl-c"])
def test_how_a_run_ended_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raised: BaseException
) -> None:
    def finish() -> None:
        raise raised

    wandb = SimpleNamespace(run=SimpleNamespace(offline=True), finish=finish, teardown=lambda: sys.exit(9))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(wandb_service, "end_service", lambda wandb: None)
    finish_wandb([])
    assert "may miss the end of this run" in caplog.text
    caplog.clear()
    failed = Broken()
    failed.has_failed = True  # type: ignore[attr-defined]
    finish_wandb([failed])
    assert not caplog.text


def test_an_ended_service_ends_no_command() -> None:
    def leave() -> None:
        raise SystemExit(-9)

    wandb_service.end_service(SimpleNamespace(finish=leave, teardown=leave))


# -- the run's own log -------------------------------------------------------------------------------------------------
def full(*args: Any, **kwargs: Any) -> None:
    raise OSError(28, "No space left on device")


def test_rows_that_cannot_be_written_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = RunLog(tmp_path, name="", version="")
    log.log_metrics({"a": 1.0}, 0)
    log.save()
    before = (tmp_path / "metrics.csv").read_text()
    for step, name in enumerate(("a", "b", "b"), 1):  # a new column writes the whole file again
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("csv.DictWriter.writerows", full)
            log.log_metrics({name: 1.0}, step)
            log.save()
        assert (tmp_path / "metrics.csv").read_text() == before
    assert caplog.text.count("metrics.csv: No space left on device; free some space; training continues") == 1
    assert isinstance(log.problem, CannotWriteError)
    log.save()
    assert log.problem is None
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows == ["a,b,step", "1.0,,0", "1.0,,1", ",1.0,2", ",1.0,3"]
    assert os.listdir(tmp_path) == ["metrics.csv"]


def test_a_run_whose_log_is_incomplete_says_so_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("csv.DictWriter.writerows", full)
    assert tiny.fit("run", "--json=scores.json") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: cannot write run/metrics.csv: No space left")
    assert (folder / "scores.json").stat().st_size and not (folder / "run/.running").exists()


def test_lightnings_own_log_is_a_logger_like_others(tmp_path: Path) -> None:
    assert isinstance(careful(CSVLogger(tmp_path)), CSVLogger)
