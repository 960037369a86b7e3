"""Signals that ask a command to stop: at once, or when there is a good moment."""

import os
import pty
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress

import pytest
from patience import PATIENCE

from mtl_lightning.stopping import NUMBERS, Interrupted, Signals, name_of


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    after = {number: signal.getsignal(number) for number in NUMBERS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.mark.parametrize("number", NUMBERS, ids=name_of)
def test_a_command_stops_at_once(signals: Signals, number: int) -> None:
    with pytest.raises(Interrupted) as stopped, signals.listening():
        signal.raise_signal(number)
    assert stopped.value.code == 128 + number
    assert signals.received == 0


@pytest.mark.parametrize("number", NUMBERS, ids=name_of)
def test_what_must_come_to_its_end_does(signals: Signals, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    ended = []
    with pytest.raises(Interrupted) as stopped, signals.listening(), signals.deferred("Stopping soon"):  # noqa: PT012
        signal.raise_signal(number)
        ended.append(number)
    assert ended and stopped.value.said and stopped.value.code == 128 + number
    assert capsys.readouterr().err.startswith("\nStopping soon; Ctrl-C ")


def test_only_ctrl_c_goes_before_it(signals: Signals) -> None:
    with pytest.raises(Interrupted) as stopped, signals.listening(), signals.deferred("Stopping soon"):  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
    assert stopped.value.code == 128 + signal.SIGTERM


def test_what_is_sent_twice_does_not_disturb_the_end(signals: Signals) -> None:
    with signals.listening():
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):
            signals.check()


def test_what_others_caught_is_not_forgotten(signals: Signals) -> None:
    with signals.listening():
        signals.check()
        with suppress(BaseException):  # as libraries do
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):
            signals.check()


def test_what_nohup_ignores_stays_ignored(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in NUMBERS}
    try:
        with signals.listening():
            for number in NUMBERS:
                signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_handler_that_a_script_has_stays(signals: Signals) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        with signals.listening():
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [signal.SIGUSR1]


def test_other_threads_have_no_handlers(signals: Signals) -> None:
    found = []

    def listen() -> None:
        with signals.listening():
            found.append([signal.getsignal(number) for number in NUMBERS])

    before = [signal.getsignal(number) for number in NUMBERS]
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_forked_process_ends_as_if_nobody_listened(signals: Signals) -> None:
    with signals.listening():
        if (child := os.fork()) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_a_half_imported_module_is_left_alone(signals: Signals, capfd: pytest.CaptureFixture[str]) -> None:
    if (child := os.fork()) == 0:
        with suppress(BaseException), signals.listening(), signals.nothing_to_lose():
            signal.raise_signal(signal.SIGTERM)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGTERM
    assert capfd.readouterr().err == "Stopped by SIGTERM\n"


@pytest.mark.parametrize("deferred", [False, True])
def test_a_call_without_end_is_ended(signals: Signals, monkeypatch: pytest.MonkeyPatch, deferred: bool) -> None:
    """Handlers are called in the main thread once the call is over that it is in; another thread gets the signal."""
    monkeypatch.setattr("mtl_lightning.stopping.watch._PATIENCE", 0.01)
    if (child := os.fork()) == 0:
        put_off = signals.deferred("Stopping soon") if deferred else nullcontext()
        try:
            with signals.listening(), put_off:
                signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()
                time.sleep(0.3 if deferred else 2 * PATIENCE)
                os._exit(0)
        except Interrupted as stopped:
            os._exit(stopped.code)
        finally:
            os._exit(99)
    status = 0 if deferred else 128 + signal.SIGTERM
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status


def test_signals_of_forked_processes_are_not_those_of_their_parent(signals: Signals) -> None:
    before = signal.set_wakeup_fd(-1)
    try:
        with signals.listening():
            if (child := os.fork()) == 0:
                os._exit(signal.set_wakeup_fd(-1) + 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        signal.set_wakeup_fd(before)


def test_a_closed_terminal_disturbs_nobody(signals: Signals) -> None:
    ours, theirs = pty.openpty()
    if (child := os.fork()) == 0:
        status = 1
        try:
            os.setsid()
            os.dup2(theirs, 1)
            with signals.listening(), signals.deferred("Stopping soon"):
                os.close(ours)
                signal.raise_signal(signal.SIGHUP)
                os.write(1, b"and on")
        except Interrupted as stopped:
            status = stopped.code
        finally:
            os._exit(status)
    os.close(theirs)
    os.close(ours)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
