"""Who the others wait for, and what processes tell each other, without any process but this one."""

import subprocess
import sys
import threading
from typing import Any

import pytest
from patience import PATIENCE, until

from mtl_lightning.stopping import death, peer_failure, peer_is_gone, pulse
from mtl_lightning.stopping.deaths import PeerFailedError
from mtl_lightning.stopping.lookout import Beat, Lookout
from mtl_lightning.stopping.pulse import Pulse, place


def beat(rank: int, count: int, moves: int = 0, waiting: bool = False, where: str = "step 3") -> Beat:
    return Beat(rank, "host", 100 + rank, count, moves, where, waiting)


def lookout(*beats: tuple[float, Beat]) -> Lookout:
    made = Lookout()
    for time, each in beats:
        made.note(each, time)
    return made


def test_a_beat_comes_back_from_its_text():
    assert Beat.loads(beat(1, 2, 3, True).dumps()) == beat(1, 2, 3, True)


def test_one_that_says_nothing_new_is_named():
    found = lookout((0, beat(0, 1)), (0, beat(1, 1)), (9, beat(0, 2)), (9, beat(1, 1)))
    assert found.judge(9.5, 10) is None
    verdict = found.judge(10, 10)
    assert verdict is not None and verdict.rank == 1
    assert verdict.text == "process 1 on host (101) has not answered for 10 s; it was in step 3"


def test_one_that_keeps_the_others_waiting_is_named():
    found = lookout(*((t, beat(r, t + 1, waiting=r == 0)) for t in range(11) for r in range(2)))
    assert found.judge(9.5, 10) is None
    verdict = found.judge(10, 10)
    assert verdict is not None and verdict.rank == 1
    assert verdict.text == "process 1 on host (101) has kept the others waiting for 10 s; it is in step 3"


def test_processes_that_go_on_wait_for_nobody():
    found = lookout(*((t, beat(r, t + 1, moves=t, waiting=r == 0)) for t in range(11) for r in range(2)))
    assert found.judge(10, 10) is None


def test_a_long_computation_that_nobody_waits_for_is_none_of_its_business():
    found = lookout(*((t, beat(r, t + 1)) for t in range(11) for r in range(2)))
    assert found.judge(10, 10) is None


def test_all_that_wait_for_each_other_are_shown():
    found = lookout(*((t, beat(r, t + 1, waiting=True, where=f"place {r}")) for t in range(11) for r in range(2)))
    verdict = found.judge(10, 10)
    assert verdict is not None and verdict.rank is None
    assert verdict.text.endswith("process 0 in place 0; process 1 in place 1")


def test_one_that_has_left_is_missed_by_nobody():
    assert lookout((0, beat(1, 1)), (1, beat(1, 0))).judge(100, 10) is None


class Texts:
    """A board in this process."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.gone = False

    def write(self, key: str, text: str) -> None:
        if self.gone:
            raise RuntimeError("Connection reset by peer")
        self.texts[key] = text

    def write_first(self, key: str, text: str) -> None:
        self.texts.setdefault(key, text)

    def read(self, key: str) -> str | None:
        return self.texts.get(key)


@pytest.fixture
def two(monkeypatch):
    """Two pulses with one board, and what each was ended with."""
    monkeypatch.setattr(pulse, "BEAT", 0.01)
    monkeypatch.setattr(pulse, "_GRACE", 0.02)
    monkeypatch.setattr(pulse, "_LEAVING", 0.02)
    board, ends = Texts(), ([], [])
    waits: dict[int, bool] = {}
    pulses = []
    for rank in range(2):

        def end(text: str, rank: int = rank) -> None:
            ends[rank].append(text)
            pulses[rank]._over.set()

        def where(rank: int = rank) -> tuple[int, str, bool]:
            return 0, "step 3", waits.get(rank, False)

        pulses.append(Pulse(board, rank, 2, where, PATIENCE, end, lambda text: None))
    for each in pulses:
        each.start()
    yield pulses, ends, board, waits
    for each in pulses:
        each.stop()


def test_a_failure_ends_the_other_process_with_a_short_line(two):
    pulses, ends, _, _ = two
    pulses[1].fail(LookupError("boom"), "LookupError: boom")
    told = until(pulses[0].other_failure)
    assert told.startswith("process 1 on ") and told.endswith("has failed: LookupError: boom")
    until(lambda: ends[0] and ends[1])
    assert ends[0] == [f"error: {told}"]
    assert ends[1] == ["LookupError: boom\n"], "one that cannot leave says why, and is ended"


def test_one_that_takes_long_to_write_its_traceback_still_shows_it(two, monkeypatch):
    pulses, ends, _, _ = two
    format_exception = pulse.traceback.format_exception

    def slow(error):
        pulses[1]._over.wait(0.1)  # many beats
        return format_exception(error)

    monkeypatch.setattr(pulse.traceback, "format_exception", slow)
    pulses[1].fail(LookupError("boom"), "LookupError: boom")
    until(lambda: ends[1])
    assert ends[1] == ["LookupError: boom\n"]


def test_one_that_is_waited_for_shows_where_it_is(two, monkeypatch):
    pulses, ends, _, waits = two
    monkeypatch.setattr(Lookout, "silent", lambda *_: [])  # as a busy machine may keep it for a while
    waits[0] = True
    for each in pulses:
        each._patience = 0.5
    until(lambda: ends[0] and ends[1])
    assert "has kept the others waiting" in ends[0][0] and ends[0][0].startswith("error: process 1 on ")
    assert ends[1][0].startswith("Process 1 is at (most recent call last):")
    assert "test_one_that_is_waited_for_shows_where_it_is" in ends[1][0]


def test_it_ends_when_the_place_to_meet_is_gone(two):
    _, ends, board, _ = two
    board.gone = True
    until(lambda: ends[0] and ends[1])
    assert ends[1][0].startswith("error: the process through which")


def test_the_place_tells_whether_it_is_one_to_wait_at():
    where, waiting = place(["torch.distributed"])
    assert where.startswith("main_frame (") and not waiting
    thread = threading.Thread(target=lambda: found.append(place([__name__])))
    found: list[Any] = []
    thread.start()
    thread.join(PATIENCE)
    assert found[0][0].startswith("wait") or "join" in found[0][0]


def test_a_consequence_is_told_from_a_failure():
    closed = RuntimeError("[../tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1234")
    late = RuntimeError("Timed out waiting 1800000ms for recv operation to complete")
    assert peer_is_gone(closed) and peer_is_gone(late) and not peer_is_gone(RuntimeError("out of memory"))
    closed.__cause__ = PeerFailedError("process 1 on host has failed: ValueError: x", said=False)
    assert death(closed) == "process 1 on host has failed: ValueError: x"
    assert peer_failure(closed) is closed.__cause__ and peer_failure(late) is None


STARTS_AND_REMOVALS = """
import gc, threading, time
from mtl_lightning.stopping.pulse import main_frame

class Ring:
    def __del__(self):
        time.sleep(0.0001)

def start_threads():
    while True:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

for _ in range(3):
    threading.Thread(target=start_threads, daemon=True).start()
gc.set_threshold(1)
for _ in range(200):
    gc.disable()
    for _ in range(5):
        ring = Ring()
        ring.itself = ring
    gc.enable()
    assert main_frame() is not None and gc.isenabled()
"""


def test_looking_for_the_main_thread_stands_still_for_no_garbage_and_no_new_thread() -> None:
    program = STARTS_AND_REMOVALS + "\nimport os\nos._exit(0)"
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE).returncode == 0
