"""Processes that meet before anything is read; here, threads do."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from zipfile import ZipFile

import pytest
import torch
from torch.distributed import TCPStore

from mtl_lightning.checkpoints.identity import identity
from mtl_lightning.cli import meeting as module
from mtl_lightning.cli.card import card
from mtl_lightning.cli.meeting import Meeting
from mtl_lightning.cli.world import World
from mtl_lightning.errors import UserError
from mtl_lightning.writing import temporary_folder

CARD = card("fit", {"data": {"batch_size": 4}})


@pytest.fixture(autouse=True)
def address(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))


def meetings(size, present=None):
    return [Meeting(World("torchrun", rank, size, 1, "--nproc-per-node")) for rank in range(present or size)]


def together(calls):
    """What each call returns, or the error that it raises; all at once."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception(60) or future.result() for future in futures]


def test_all_learn_what_the_first_one_has_chosen():
    first, *others = meetings(3)
    found = together([lambda: first.agree({**CARD, "folder": "runs/a"}), *(lambda m=m: m.agree(CARD) for m in others)])
    assert [one["folder"] for one in found] == ["runs/a"] * 3


def agreed(all_of_them, folder):
    cards = [{**CARD, "folder": folder, "port": one.free_port()} for one in all_of_them]
    found = together([partial(one.agree, card) for one, card in zip(all_of_them, cards, strict=True)])
    return [(one["folder"], one["port"]) for one in found]


@pytest.fixture
def store_of_torchrun(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    return TCPStore("localhost", int(os.environ["MASTER_PORT"]), None, True, wait_for_workers=False)


def test_processes_that_torchrun_starts_again_leave_what_its_store_still_holds(store_of_torchrun):
    """It does not count a start that follows from a node that has joined, or is gone: its number is the same."""
    before = meetings(3)
    assert {folder for folder, _ in agreed(before, "first")} == {"first"}
    together([partial(one.fail, "bad") for one in before])
    for size, folder in ((2, "second"), (3, "third")):
        found = agreed(meetings(size), folder)
        assert {each for each, _ in found} == {folder}
        assert len({port for _, port in found}) == 1 and found[0][1] is not None


def test_that_torchrun_keeps_an_old_address_is_said(store_of_torchrun):
    other = meetings(2)[1]
    other.timeout = 1.0  # also to be let in
    with pytest.raises(UserError, match=r"process 0 has not come .*; where nodes come or go, start torchrun with TOR"):
        other.agree(CARD)


def test_one_that_fails_before_the_first_one_is_there_is_heard(store_of_torchrun):
    first, other = meetings(2)
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(other.fail, "no such file")
        assert ended(first, CARD) == f"process 1 on {socket.gethostname()}: no such file"
        assert said.result(60) is None


def checkpoint(path, step, **other):
    torch.save({"global_step": step, "state": torch.zeros(3), **other}, path)
    return str(path)


def test_checkpoints_that_differ_are_named(tmp_path):
    """In folders that nodes do not share, say."""
    one, same, older = (tmp_path / name for name in ("one.ckpt", "same.ckpt", "older.ckpt"))
    checkpoint(one, 40)
    same.write_bytes(one.read_bytes())
    checkpoint(older, 20)
    for path in (same, None):
        both = meetings(2)
        ours = [identity(str(one)), identity(str(path))] if path else [identity(None)] * 2
        assert together([partial(m.compare_checkpoints, i) for m, i in zip(both, ours, strict=True)]) == [None, None]
    host, broken = socket.gethostname(), tmp_path / "none.ckpt"
    for path, said in (
        (older, f"loads {older} (step 20, contents "),
        (None, "finds no checkpoint, "),
        (broken, f"loads {broken} (no step, contents unreadable)"),
    ):
        first, other = meetings(2)
        calls = [(first, identity(str(one))), (other, identity(path and str(path)))]
        found = together([partial(failed, partial(m.compare_checkpoints, i), m) for m, i in calls])
        assert found[0].startswith(f"process 1 on {host} {said}")
        assert f"process 0 on {host} loads {one} (step 40, contents " in found[0] and found[1] is None


def test_what_differs_in_a_checkpoint_is_seen_without_reading_it(tmp_path):
    digests = {identity(checkpoint(tmp_path / f"{n}.ckpt", 1, weights=torch.full((9,), n)))["digest"] for n in range(3)}
    assert len(digests) == 3
    (tmp_path / "text.ckpt").write_text("no archive")
    assert identity(str(tmp_path / "text.ckpt"))["digest"] == "unreadable"


@pytest.mark.parametrize(
    "content", [b".", b"\x80\x02", b"\x80\x02K\x01Q."], ids=["IndexError", "cut off", "AssertionError"]
)
def test_a_damaged_checkpoint_has_no_step(tmp_path, content):
    """Who reads all of it says what is wrong."""
    with ZipFile(path := tmp_path / "damaged.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    found = identity(str(path))
    assert found["step"] is None and found["digest"] != "unreadable"


def test_who_fails_before_all_join_ends_the_others():
    both = meetings(2)
    agreed(both, "a")
    waiting, failing = together([lambda: failed(both[0].wait_for_all, both[0]), lambda: both[1].fail("no memory")])
    assert waiting == f"process 1 on {socket.gethostname()}: no memory" and failing is None


def test_who_is_killed_before_all_join_is_named(monkeypatch):
    both = meetings(2)
    agreed(both, "a")
    both[0].timeout = 0.5
    monkeypatch.setattr(module, "_LOOK", 0.2)
    with pytest.raises(UserError, match=r"1 of 2 processes \(rank 1\) have not come within 0 s; it is gone, or hangs"):
        both[0].wait_for_all()


def failed(call, meeting):
    with pytest.raises(UserError) as error:
        call()
    return meeting.fail(str(error.value))


def test_a_flag_says_the_same_as_a_file():
    assert card("fit", {"data": {"batch_size": "4", "drop_last": "true"}}) == card(
        "fit", {"data": {"batch_size": 4, "drop_last": True}}
    )


def test_folders_in_which_each_unpacks_a_checkpoint_are_the_same():
    with temporary_folder() as one, temporary_folder() as other:
        found = [card("test", {"model": {"config": str(folder / "config.json")}}) for folder in (one, other)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (card("fit", {"data": {"batch_size": 8}}), "data.batch_size is 8, there 4"),
        (card("fit", {"data": {"batch_size": 4, "num_workers": 1}}), "data.num_workers is 1, there null"),
        (card("test", {"data": {"batch_size": 4}}), "command is test, there fit"),
        ({**CARD, "versions": {**CARD["versions"], "torch": "1.0"}}, "torch is 1.0, there"),
        ({**CARD, "use of GPUs": not CARD["use of GPUs"]}, "use of GPUs is true, there false"),
    ],
)
def test_one_that_was_started_in_another_way_is_named_to_all(other, said):
    first, same, odd = meetings(3)
    found = together([lambda: ended(first, CARD), lambda: ended(same, CARD), lambda: ended(odd, other)])
    host = socket.gethostname()
    assert found[0].startswith(f"process 2 on {host} was started in another way than process 0 on {host}: {said}")
    assert found[1:] == [None, None]


def ended(meeting, mine):
    """What a process says in the end."""
    return failed(partial(meeting.agree, mine), meeting)


def test_what_all_find_is_said_once_and_what_one_finds_is_said_for_it():
    assert together([lambda m=m: m.fail("no such file") for m in meetings(3)]) == ["no such file", None, None]


@pytest.mark.parametrize("failing", [0, 1])
def test_nobody_waits_for_one_that_has_failed(failing):
    both = meetings(2)
    calls = [lambda: ended(both[1 - failing], CARD), lambda: both[failing].fail("no such file")]
    other, own = together(calls)
    where = "" if failing == 0 else f"process 1 on {socket.gethostname()}: "
    said = (own, other) if failing == 0 else (other, own)
    assert said == (f"{where}no such file", None)


def test_who_does_not_come_is_named(monkeypatch):
    (first,) = meetings(3, present=1)
    first.timeout = 0.5
    monkeypatch.setattr(module, "_LOOK", 0.2)
    with pytest.raises(UserError, match=r"2 of 3 processes \(rank 1, 2\) have not come within 0 s; see that the same"):
        first.agree(CARD)


def test_a_first_process_that_does_not_answer_is_said():
    other = meetings(2)[1]
    other.timeout = 0.3
    with pytest.raises(UserError, match=r"MASTER_ADDR: process 0 does not answer at localhost:.*refused.*firewall"):
        other.agree(CARD)


def test_an_address_that_nobody_knows_is_said(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "no-such-host.invalid")
    with pytest.raises(UserError, match=r"MASTER_ADDR: no-such-host\.invalid is no machine that"):
        meetings(2)[1].agree(CARD)


def test_a_port_in_use_is_said(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_PORT", str(port := taken.getsockname()[1]))
        with pytest.raises(UserError, match=f"MASTER_PORT: {port} is in use on"):
            meetings(2)[0].agree(CARD)


@pytest.mark.parametrize(("name", "said"), [("MASTER_PORT", "must be a number"), ("MASTER_ADDR", "is not set")])
def test_an_address_that_is_none_is_refused(monkeypatch, name, said):
    monkeypatch.setenv(name, "x") if said.startswith("must") else monkeypatch.delenv(name)
    with pytest.raises(UserError, match=f"{name} {said}"):
        meetings(2)[1].agree(CARD)
