import shlex

import pytest
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from mtl_lightning.cli import loggers
from mtl_lightning.cli.run_log import RunLog
from mtl_lightning.errors import UserError


@pytest.fixture(autouse=True)
def nobody_logged_in(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    return tmp_path / "netrc"


def test_nobody_is_logged_in():
    assert not loggers.logged_in()


def test_a_key_in_the_environment_logs_in(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert loggers.logged_in()


@pytest.mark.parametrize(("host", "found"), [("api.wandb.ai", True), ("elsewhere.org", False)])
def test_netrc_logs_in(nobody_logged_in, host, found):
    nobody_logged_in.write_text(f"machine {host}\n  login user\n  password {'x' * 40}\n")
    nobody_logged_in.chmod(0o600)
    assert loggers.logged_in() is found


@pytest.mark.parametrize(
    ("mode", "variable", "offline"),
    [("auto", None, True), ("offline", None, True), ("online", None, False), ("auto", "online", False)],
)
def test_mode(tmp_path, monkeypatch, mode, variable, offline):
    if not offline:
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    found = loggers.default_loggers(tmp_path, "name", "project", mode, tensorboard=False)
    assert [type(logger) for logger in found] == [RunLog, WandbLogger]
    assert found[1]._offline is offline


def test_online_without_a_key_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="run `wandb login`"):
        loggers.default_loggers(tmp_path, "name", "project", "online", tensorboard=False)


def test_off_and_tensorboard(tmp_path):
    found = loggers.default_loggers(tmp_path, "name", "project", "off", tensorboard=True)
    assert [type(logger) for logger in found] == [RunLog, TensorBoardLogger]


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'mtl-lightning\[tensorboard\]'"):
        loggers.default_loggers(tmp_path, "name", "project", "off", tensorboard=True)


def test_an_older_log_is_kept(tmp_path):
    (tmp_path / "metrics.csv").write_text("old")
    (tmp_path / "metrics.1.csv").write_text("older")
    loggers.csv_logger(tmp_path)
    assert (tmp_path / "metrics.2.csv").read_text() == "old"
    assert not (tmp_path / "metrics.csv").exists()


def test_the_line_that_uploads(tmp_path):
    assert loggers.sync_command(tmp_path) is None
    (tmp_path / "wandb" / "offline-run-1-a").mkdir(parents=True)
    assert loggers.sync_command(tmp_path) == f"wandb sync {tmp_path}/wandb/offline-run-1-a"


def test_the_line_that_uploads_names_all_parts_of_a_resumed_run(tmp_path):
    folder = tmp_path / "my run"
    for part in ("20260101_000000-a", "20260102_000000-a"):
        (folder / "wandb" / f"offline-run-{part}").mkdir(parents=True)
    assert shlex.split(loggers.sync_command(folder)) == [
        *("wandb", "sync"),
        f"{folder}/wandb/offline-run-20260101_000000-a",
        f"{folder}/wandb/offline-run-20260102_000000-a",
    ]


def test_a_run_is_named_after_its_config_and_its_time(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_JOB_TYPE", raising=False)
    logger = loggers.default_loggers(tmp_path / "20260101-000000", "snips", "project", "offline", tensorboard=False)[1]
    asked = logger._wandb_init
    assert (logger._name, asked["group"], asked["job_type"]) == ("snips-20260101-000000", "snips", "fit")


def test_variables_of_weights_and_biases_win(tmp_path, monkeypatch):
    for name, value in {"NAME": "nice", "RUN_GROUP": "g7", "JOB_TYPE": "search", "RUN_ID": "abc"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = loggers.default_loggers(tmp_path, "name", "project", "offline", tensorboard=False)[1]
    given = {key: logger._wandb_init[key] for key in ("name", "group", "job_type", "id", "project")}
    assert given == {"name": "nice", "group": "g7", "job_type": "search", "id": "abc", "project": "project"}
    assert "entity" not in logger._wandb_init and "tags" not in logger._wandb_init  # W&B reads its variables
