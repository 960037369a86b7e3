"""Each run has a folder of its own, inside `runs`, whoever else starts at the same moment."""

import errno
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny

from mtl_lightning.cli import loggers, run_folder
from mtl_lightning.cli.run_folder import RUN_DIR_VARIABLE, RunFolder
from mtl_lightning.errors import UserError
from mtl_lightning.names import checked_path


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, kept_environ):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder.time, "strftime", lambda form: "now")
    for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID", "SLURM_JOB_ID", RUN_DIR_VARIABLE):
        kept_environ.pop(name, None)
    return tmp_path


def names(number: int) -> set[str]:
    return {f"runs/a/now{f'-{n}' if n > 1 else ''}" for n in range(1, number + 1)}


def test_runs_that_start_in_the_same_second_have_a_folder_each():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: RunFolder("a", None, None), range(8)))
    assert {str(one.path) for one in found} == names(8)


def test_what_rank_0_decides_holds_for_the_processes_that_it_starts():
    first = RunFolder("a", None, None)
    os.environ["LOCAL_RANK"] = "1"
    assert RunFolder("a", None, None).path == first.path
    assert RunFolder("b", "elsewhere", None).path == first.path


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID"])
def test_further_processes_that_others_start_make_no_folder(variable):
    os.environ[variable] = "1"
    RunFolder("a", None, None).release()
    assert not Path("runs").exists()


def test_a_job_of_slurm_has_its_name():
    os.environ |= {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "2"}
    first, second = RunFolder("a", None, None), RunFolder("a", None, None)
    assert (str(first.path), str(second.path)) == ("runs/a/slurm-7-2", "runs/a/slurm-7-2-2")
    os.environ |= {"SLURM_PROCID": "1"}
    assert RunFolder("a", None, None).path == first.path
    first.release()
    os.environ |= {"SLURM_PROCID": "0", "SLURM_RESTART_COUNT": "1"}
    assert RunFolder("a", None, None).path == first.path


def test_two_runs_do_not_write_to_one_folder():
    first = RunFolder("a", "mine", None)
    with pytest.raises(UserError, match=r"trainer.default_root_dir: another run is writing to mine; wait until"):
        RunFolder("a", "mine", None)
    with pytest.raises(UserError, match=r"^another run is writing to mine"):
        RunFolder("a", None, "mine/checkpoints/last.ckpt")
    first.release()
    RunFolder("a", None, "mine/checkpoints/last.ckpt").release()


def test_two_runs_do_not_write_their_checkpoints_to_one_folder(folder):
    first, second, third = RunFolder("a", "one", None), RunFolder("a", "two", None), RunFolder("a", "three", None)
    first.take_checkpoints(None)
    first.take_checkpoints("shared")
    first.take_checkpoints("one/checkpoints")
    for other in ("shared", "one/checkpoints", str(folder / "shared")):
        with pytest.raises(UserError, match=r"^checkpoint.dirpath: another run is writing to .*; wait until it"):
            second.take_checkpoints(other)
    first.release()
    second.take_checkpoints("shared")
    third.take_checkpoints("s3://bucket/checkpoints")
    for run in (second, third):
        run.release()
    assert not list(folder.rglob("*"))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_where_a_file_system_keeps_no_locks_the_file_is_one(folder, monkeypatch, number):
    def flock(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    first = RunFolder("a", "mine", None)
    with pytest.raises(
        UserError, match=rf"if it is no longer running \(process {os.getpid()} on .*\), remove mine/.running(.here)?$"
    ):
        RunFolder("a", "mine", None)
    first.release()
    RunFolder("a", "mine", None).release()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK], ids=errno.errorcode.get)
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_where_there_are_no_locks_a_job_takes_over_what_it_has_left_itself(folder, monkeypatch, number):
    def flock(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    os.environ |= {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    lost = RunFolder("a", "mine", None)
    for other in ({}, {"SLURM_JOB_ID": "8", "SLURM_RESTART_COUNT": "1"}):
        os.environ |= other
        with pytest.raises(UserError, match="another run is writing to mine"):
            RunFolder("a", "mine", None)
    os.environ["SLURM_JOB_ID"] = "7"
    RunFolder("a", "mine", None).release()
    assert lost.path.exists() and not list(lost.path.iterdir())


def test_a_folder_that_has_become_read_only_is_given_back_all_the_same(monkeypatch):
    def unlink(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    run = RunFolder("a", "mine", None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        run.release()
    assert Path("mine/.running").exists()
    RunFolder("a", "mine", None).release()
    assert not list(Path("mine").iterdir())


def test_a_run_that_was_killed_holds_nothing():
    if (child := os.fork()) == 0:
        RunFolder("a", "mine", None)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert Path("mine/.running").exists()
    RunFolder("a", "mine", None).release()


def test_a_run_that_never_began_leaves_nothing_behind(folder):
    Path("out").mkdir()
    for given in (None, "out/mine", "out"):
        RunFolder("a", given, None).release()
    assert [path.name for path in folder.rglob("*")] == ["out"]


def test_a_run_that_began_keeps_its_folder():
    run = RunFolder("a", None, None)
    (run.path / "metrics.csv").touch()
    run.release()
    assert [path.name for path in run.path.iterdir()] == ["metrics.csv"]


def test_a_file_in_the_way_is_said():
    Path("file").touch()
    with pytest.raises(UserError, match=r"trainer.default_root_dir: file: no folder can be created there: "):
        RunFolder("a", "file", None)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", ".", "..", "a/../../b", "", " ", "a//b", "a\nb", "a\0b", "x" * 300])
def test_names_stay_inside_runs(name):
    with pytest.raises(UserError, match=r"^name: "):
        checked_path("name", name, "runs")


@pytest.mark.parametrize("name", ["a", "a/b", "é ü", "007", "a.b", "x" * 128, "中文"])
def test_other_names_are_fine(name):
    assert checked_path("name", name, "runs") == name


def test_a_name_is_refused_in_one_line(folder, capsys):
    tiny.write(folder)
    assert tiny.main(["fit", "--config", "config.yaml", "--name", "../x"]) == 2
    assert capsys.readouterr().err == "error: name: '../x' would lead out of the folder 'runs'; give a word\n"


def test_every_older_log_is_kept(folder):
    for text in ("a", "b", "c"):
        (folder / "metrics.csv").write_text(text)
        loggers.csv_logger(folder)
    assert [(folder / f"metrics.{n}.csv").read_text() for n in (1, 2, 3)] == ["a", "b", "c"]


def test_what_a_killed_process_left_unfinished_goes_with_the_next_run(tmp_path: Path) -> None:
    left = [tmp_path / ".config.yaml.unfinished", tmp_path / "checkpoints" / ".best-3.ckpt.unfinished"]
    for path in (*left, tmp_path / "checkpoints" / "best-2.ckpt"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    RunFolder("run", str(tmp_path), None).release()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["best-2.ckpt"]
