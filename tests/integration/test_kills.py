"""A run that gets a signal at any moment ends as it should, and resumed, with the numbers of one that was left alone.

Moments are counted in calls of functions, so they are the same on every machine. A dozen are fixed;
``pytest tests/integration/test_kills.py --kills 100`` adds as many random ones; seeds count from ``--first-kill``.
"""

import json
import os
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launch
import pytest
import texts
import torch
from forked import Forked
from patience import until

DYING = Path(__file__).parent.parent / "dying.py"
OPTIONS = {"alone": [], "workers": ["--data.num_workers=2"], "processes": ["--trainer.devices=2"]}
RANKS: Mapping[str, Sequence[int]] = {"alone": (0,), "workers": (0,), "processes": (0, 1)}
SAME = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "MultiTaskDataModule")


@dataclass(frozen=True)
class Kill:
    """A signal and its moment.

    Attributes:
        how: Key of OPTIONS.
        phase: Key of dying.PHASES, or ``start-up``.
        occurrence: From 1.
        fraction: Of the phase's calls.
        number: Of the signal.
        to: ``self``, ``group`` or ``child``.
        rank: Of the process.
    """

    how: str
    phase: str
    occurrence: int
    fraction: float
    number: int
    to: str = "self"
    rank: int = 0

    def __str__(self) -> str:
        where = f"{self.phase} {self.occurrence} at {self.fraction:.2f}"
        return f"{self.how}: {signal.Signals(self.number).name} to {self.to} {self.rank}, {where}"


FIXED = [
    Kill("alone", "start-up", 1, 0.6, signal.SIGTERM),
    Kill("alone", "reading", 2, 0.4, signal.SIGKILL),
    Kill("alone", "encoding", 3, 0.5, signal.SIGKILL),
    Kill("workers", "encoding", 1, 0.5, signal.SIGTERM, "group"),
    Kill("alone", "sanity check", 1, 0.5, signal.SIGINT),
    Kill("workers", "step", 4, 0.5, signal.SIGTERM, "group"),
    Kill("workers", "step", 3, 0.9, signal.SIGKILL, "child"),
    Kill("processes", "step", 3, 0.3, signal.SIGTERM, rank=1),
    Kill("alone", "validation", 3, 0.5, signal.SIGHUP),
    Kill("alone", "checkpoint", 2, 0.7, signal.SIGKILL),
    Kill("alone", "evaluation", 1, 0.5, signal.SIGTERM),
    Kill("alone", "closing", 1, 0.3, signal.SIGUSR1),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    first, number = (metafunc.config.getoption(option) for option in ("--first-kill", "--kills"))
    drawn = range(first, first + number)
    metafunc.parametrize("kill", [*FIXED, *drawn], ids=lambda kill: str(kill).replace(" ", "-"))


def draw(seed: int, lengths: Mapping[str, Any]) -> Kill:
    """A random one."""
    choose = random.Random(seed)
    how = choose.choice(list(OPTIONS))
    number = choose.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGTERM, signal.SIGINT))
    first = how == "processes"  # before they have found each other, it is for their launcher to see that one is gone
    phase, occurrence, _ = choose.choice(lengths[how][first:])
    to = "group" if number != signal.SIGKILL and how != "processes" else "self"
    if how == "workers" and phase == "step" and number == signal.SIGKILL and choose.random() < 0.5:
        to = "child"
    rank = 0 if phase == "checkpoint" else choose.choice(RANKS[how])  # the first process writes them
    return Kill(how, phase, occurrence, choose.random(), number, to, rank)


def start(how: str, folder: Path, dying: Mapping[str, Any], *options: str) -> list[Forked]:
    """A run, each of its processes."""
    arguments = ["fit", "--config=../config.yaml", "--trainer.default_root_dir=run", "--json=scores.json"]
    arguments += [*OPTIONS[how], *options]
    env = {"HF_DATASETS_CACHE": str(folder / "cache"), "DYING": json.dumps(dying)}
    if how == "processes":
        return launch.start(len(RANKS[how]), *arguments, script=DYING, cwd=folder, env=env)
    return [Forked(*arguments, script=DYING, cwd=folder, env={**os.environ, **env})]


def outcome(folder: Path) -> dict[str, Any]:
    """What a run has come to: its scores and its last checkpoint."""
    last = torch.load(folder / "run/checkpoints/last.ckpt", weights_only=True)
    return {"scores": json.loads((folder / "scores.json").read_text()), **{part: last[part] for part in SAME}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """By how it runs: what a run comes to that nobody disturbs, and how many calls its phases have."""
    root = tmp_path_factory.mktemp("kills")
    texts.write(root)
    outcomes, lengths = {}, {}
    for how in ("alone", "processes"):
        folder = root / f"whole {how}"
        folder.mkdir()
        measured = folder / "lengths.json"
        found = [run.finish() for run in start(how, folder, {"measure": str(measured)})]
        assert not any(run.returncode for run in found), found[0].stderr[-4000:]
        outcomes[how], lengths[how] = outcome(folder), json.loads(measured.read_text())
    return root, {**outcomes, "workers": outcomes["alone"]}, {**lengths, "workers": lengths["alone"]}


def test_it_resumes_with_the_same_numbers(kill, whole, request):
    root, outcomes, lengths = whole
    if isinstance(kill, int):
        kill = draw(kill, lengths)
    folder = root / request.node.name.replace("/", "-")
    folder.mkdir()
    length = next(n for *phase, n in lengths[kill.how] if phase == [kill.phase, kill.occurrence])
    wanted = {"phase": kill.phase, "occurrence": kill.occurrence, "calls": 1 + int(kill.fraction * (length - 1))}
    wanted |= {"signal": kill.number, "to": kill.to, "rank": kill.rank, "mark": str(folder / "mark")}
    runs = start(kill.how, folder, wanted)
    found = [run.finish() for run in runs]
    assert (folder / "mark").exists(), f"{kill} never came; {found[0].stderr[-2000:]}"
    for run in runs:
        until(lambda group=run.pid: not members(group))
    check_end(kill, found)
    goes_on = ["--ckpt_path=run"] if (folder / "run/checkpoints/last.ckpt").exists() else []
    resumed = [run.finish() for run in start(kill.how, folder, {"phase": "none"}, *goes_on)]
    assert [run.returncode for run in resumed] == [0] * len(resumed), f"{kill}: {resumed[0].stderr[-4000:]}"
    launch.assert_same(outcome(folder), outcomes[kill.how], where=str(kill))
    left = {path.name for path in folder.rglob("*") if path.suffix in (".unfinished", ".partial")}
    assert not left or kill.number == signal.SIGKILL


def members(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        found += [int(path.parent.name)] if int(number) == group and state != "Z" else []
    return found


def check_end(kill, found):
    """The exit status says why it ended, and so does the last line."""
    statuses, last = [run.returncode for run in found], found[0].stderr.strip().splitlines()[-1:]
    if kill.rank and statuses[0] == 1:  # outside of training: who starts processes elsewhere is not told why one ends
        assert statuses[1] == (-9 if kill.number == signal.SIGKILL else 128 + kill.number), f"{kill}: {statuses}"
        assert last[0].startswith("error: another process of this run has died"), f"{kill}: {last}"
    elif kill.number != signal.SIGKILL:
        assert statuses[0] == 128 + kill.number, f"{kill}: {statuses}; {found[0].stderr[-4000:]}"
        assert "Stopp" in last[0] or "is not written" in last[0], f"{kill}: {last}"
    elif kill.to == "child":
        assert statuses == [1] and last[0].startswith("error: a worker that loads data"), f"{kill}: {last}"
    else:
        assert statuses[kill.rank] == -signal.SIGKILL and 0 not in statuses, f"{kill}: {statuses}"
