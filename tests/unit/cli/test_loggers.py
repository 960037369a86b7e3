import shlex

import pytest
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.cli import loggers
from mtl_lightning.cli.run_log import RunLog, rewind
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


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_steps_that_are_done_again_are_in_the_log_once(tmp_path):
    (tmp_path / "metrics.1.csv").write_text('step,loss,note\n0,5,"a\nb"\n1,4,\n2,3,\n,9,\n3,2,\n4,1')
    (tmp_path / "metrics.csv").write_text("step,loss\n2,3\n3,2\n")
    log = loggers.csv_logger(tmp_path)
    assert (tmp_path / "metrics.2.csv").read_text() == "step,loss\n2,3\n3,2\n"
    log.log_metrics({"loss": 2.5}, step=3)
    log.log_metrics({"loss": 2.25}, step=2)
    assert (tmp_path / "metrics.1.csv").read_text() == 'step,loss,note\n0,5,"a\nb"\n1,4,\n2,3,\n,9,\n'
    assert (tmp_path / "metrics.2.csv").read_text() == "step,loss\n2,3\n"


def test_what_was_tested_when_training_ended_stays_unless_that_step_is_passed_again(tmp_path):
    path, header, row = tmp_path / "metrics.1.csv", "epoch,step,loss,test/a/f1\n", "2,4,,0.5\n"
    path.write_text(f"{header}1,3,1,\n{row}2,4,1,\n2,5,1,\n")
    rewind(path, 4)
    assert path.read_text() == f"{header}1,3,1,\n{row}"
    rewind(path, 3)
    assert path.read_text() == header


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_an_older_log_that_is_broken_stays(tmp_path, caplog):
    (tmp_path / "metrics.1.csv").write_text("step,loss\n7,5,6\n0,5,6\n")
    log = loggers.csv_logger(tmp_path)
    log.log_metrics({"loss": 2.5}, step=3)
    assert (tmp_path / "metrics.1.csv").read_text() == "step,loss\n7,5,6\n0,5,6\n"
    assert "older logs keep steps that are done again from 3 on" in caplog.text


@pytest.fixture
def checkpoint(tmp_path):
    """Of a run that Weights & Biases knew as ``abc``, without what it wrote itself."""
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = {"mtl_lightning": {"tasks": {}, "assets": {"files": {}, "init_args": {}}}, "state_dict": {}}
    AtomicCheckpointIO().save_checkpoint(content | {"callbacks": {"a": {}, "b": {"wandb_id": "abc"}}}, path)
    return path


def asked_id(run_dir, checkpoint):
    return loggers.default_loggers(run_dir, "a", "b", "offline", False, str(checkpoint))[1]._wandb_init["id"]


def test_a_resumed_run_stays_one_in_weights_and_biases(tmp_path, checkpoint, monkeypatch):
    for variable in ("WANDB_RUN_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(variable, raising=False)
    assert asked_id(tmp_path / "run", checkpoint) == "abc"
    assert asked_id(tmp_path / "branch", checkpoint) is None  # another run, which starts from there
    (tmp_path / "run" / "wandb" / "offline-run-1-later").mkdir(parents=True)
    assert asked_id(tmp_path / "run", checkpoint) == "later"


def test_a_requeued_job_stays_one_in_weights_and_biases_in_another_folder(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert asked_id(tmp_path / "elsewhere", checkpoint) == "abc"


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
