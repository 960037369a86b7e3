"""What processes do that another one has started, and what is said when one dies."""

import multiprocessing
import os
import select
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE, until
from torch.distributed import DistNetworkError, DistStoreError

from mtl_lightning.cli.launcher import Launcher
from mtl_lightning.stopping import (
    NUMBERS,
    Interrupted,
    ProcessDiedError,
    as_worker,
    death,
    followed,
    held_back,
    of_what,
)
from mtl_lightning.writing import system_error

FORK: Any = multiprocessing.get_context("fork")


def work(ready: Any) -> None:
    as_worker()
    ready.set()
    threading.Event().wait()


@pytest.fixture
def worker():
    ready = FORK.Event()
    with held_back():
        process = FORK.Process(target=work, args=(ready,), daemon=True)
        process.start()
    assert ready.wait(PATIENCE)
    yield process
    process.kill()


def send(worker: Any, number: int) -> None:
    subprocess.run(["kill", f"-{number}", str(worker.pid)], check=True)


def test_a_worker_goes_on_until_its_parent_ends_it(worker):
    for number in NUMBERS:
        send(worker, number)
    assert not multiprocessing.connection.wait([worker.sentinel], timeout=0.2)
    worker.terminate()
    worker.join(PATIENCE)
    assert worker.exitcode == 0


def test_a_worker_ends_with_its_parent(tmp_path):
    def parent() -> None:
        with held_back():
            process = FORK.Process(target=work, args=(ready,))
            process.start()
        (tmp_path / "pid").write_text(str(process.pid))
        ready.wait()
        os.kill(os.getpid(), signal.SIGKILL)

    ready = FORK.Event()
    process = FORK.Process(target=parent)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    until(lambda: not Path("/proc", (tmp_path / "pid").read_text()).exists())


ABSENT = "another process of this run has met the others and not joined them in time; what it printed says why"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "a worker that loads data (process 7) was killed (Killed); memory may have run out",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"),
            "a worker that loads data (process 7, 8) ended unexpectedly; memory may have run out",
        ),
        (
            RuntimeError("One of the subprocesses has abruptly died during map operation.To debug the error, …"),
            "a process that encodes data has died; memory may have run out",
        ),
        (
            RuntimeError("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4"),
            "another process of this run has died; what it printed says why",
        ),
        *(
            (
                error,
                "another process of this run has met the others and not joined them in time; what it printed says why",
            )
            for error in (
                DistStoreError("Timed out after 61 seconds waiting for clients. 1/2 clients joined."),
                DistStoreError("wait timeout after 60000ms, keys: /2//cpu//0/1"),
                DistNetworkError("The client socket has timed out after 60000ms while trying to connect to (a, 1)."),
            )
        ),
        (RuntimeError("something else"), None),
        (ValueError("Connection closed by peer"), None),
    ],
)
def test_the_message_says_what_died(error, expected):
    assert death(error) == expected
    wrapped = RuntimeError("while training")
    wrapped.__cause__ = error
    assert death(wrapped) == expected


def test_exceptions_that_lead_to_each_other_come_to_an_end():
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__context__ = other, one
    assert death(one) is None and system_error(one) is None


def test_what_a_process_came_to():
    assert of_what(3) == "ended with status 3"
    assert of_what(-15) == "was killed by SIGTERM"
    assert of_what(-9) == "was killed by SIGKILL, as the system does when memory runs out"


class Environment:
    creates_processes_externally = False

    def validate_settings(self, **settings: int) -> None:
        pass


def launched(monkeypatch: pytest.MonkeyPatch, *commands: str) -> Launcher:
    launcher = Launcher(Environment(), len(commands) + 1, 1)  # type: ignore[arg-type]

    def start(self: Launcher) -> None:
        self.procs = [subprocess.Popen(["sh", "-c", command]) for command in commands]

    monkeypatch.setattr(Launcher, "_call_children_scripts", start)
    return launcher


def waits_for_others() -> None:
    raise RuntimeError("Connection closed by peer")


def test_the_first_process_says_which_one_died(monkeypatch):
    monkeypatch.setattr("mtl_lightning.cli.launcher._GRACE", 0.0)
    launcher = launched(monkeypatch, "kill -9 $$", f"exec sleep {PATIENCE:.0f}")
    with pytest.raises(ProcessDiedError, match=r"^process 1 of this run \(\d+\) was killed by SIGKILL, as the system"):
        launcher.launch(lambda: launcher.procs[0].wait() and waits_for_others())
    assert [process.poll() for process in launcher.procs] == [-9, -9]


@pytest.mark.parametrize("command", ["kill -TERM $$", "exit 143"])
def test_a_process_that_was_asked_to_stop_stops_all(monkeypatch, command):
    with pytest.raises(Interrupted) as stopped:
        launched(monkeypatch, command).launch(waits_for_others)
    assert stopped.value.code == 143 and not stopped.value.said


def test_another_error_stays_what_it_is(monkeypatch):
    launcher = launched(monkeypatch, "exit 1")
    with pytest.raises(KeyError):
        launcher.launch(lambda: {}["missing"])


def test_one_that_hangs_because_another_died_is_ended(monkeypatch, capfd):
    monkeypatch.setattr("mtl_lightning.cli.launcher._PATIENCE", 0.0)
    if (child := os.fork()) == 0:
        try:
            launched(monkeypatch, "exit 3").launch(lambda: threading.Event().wait())
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert "of this run" in capfd.readouterr().err


def test_processes_that_are_forked_end_with_the_one_that_is_killed() -> None:
    """Also those that a library forks, which run none of our code, and those that have brothers."""
    reads, writes = os.pipe()
    parent = FORK.Process(target=_fork_two, args=(writes,), daemon=True)
    parent.start()
    assert [os.read(reads, 1), os.read(reads, 1)] == [b"x", b"x"]
    os.close(writes)
    parent.kill()
    assert select.select([reads], [], [], PATIENCE)[0] and os.read(reads, 1) == b""  # nobody holds the other end
    parent.join()
    os.close(reads)


def _fork_two(writes: int) -> None:
    with followed():
        for _ in range(2):
            if os.fork() == 0:
                os.write(writes, b"x")
                signal.pause()
        signal.pause()


def test_a_process_outlives_those_that_it_forks() -> None:
    with followed():
        process = FORK.Process(target=abs, args=(1,))
        process.start()
        process.join()
    assert process.exitcode == 0
