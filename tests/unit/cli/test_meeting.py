"""Processes that meet before anything is read; here, threads do."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from torch.distributed import TCPStore

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
    together([partial(one.fail, "bad") for one in all_of_them])
    return [(one["folder"], one["port"]) for one in found]


def test_processes_that_torchrun_starts_again_leave_what_its_store_still_holds(monkeypatch):
    store = TCPStore("localhost", int(os.environ["MASTER_PORT"]), None, True, wait_for_workers=False)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    found = []
    for attempt in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        found.append(agreed(meetings(2), attempt))
    del store
    (before, same), (after, also) = found
    assert before == same == ("0", None)
    assert after == also and after[0] == "1" and after[1] is not None


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
    with pytest.raises(UserError) as error:
        meeting.agree(mine)
    return meeting.fail(str(error.value))


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
