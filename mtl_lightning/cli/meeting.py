"""Where the processes of a run meet before anything is read: who is there, and whether all were started alike."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from mtl_lightning.cli.meeting_store import MeetingStore, free_port, is_of_torchrun, moved
from mtl_lightning.cli.world import World
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import say

_Difference: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], str]  # of what the first one and this one say
_OWN = ("folder", "port")  # what the first process decides
_LOOK = 1.0  # seconds, at most, between two looks whether another process has failed
_QUIET = 20.0  # seconds of waiting before it is said for whom
_LINGER = 10.0  # seconds that a process which fails waits for the others


class Meeting:
    """The processes of a run, as they wait for each other before torch joins them.

    It is kept until the end of the command.

    Args:
        found: The processes.
    """

    def __init__(self, found: World) -> None:
        self._world = found
        self._store = MeetingStore(found)

    @property
    def timeout(self) -> float:
        """Seconds that the last may come after the first."""
        return self._store.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._store.timeout = seconds

    def agree(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """Waits for all processes and compares what they say; returns what the first one says.

        Args:
            card: What this process says, as JSON can hold it; the same everywhere, but for ``folder`` and ``port``.

        Raises:
            UserError: If a process does not come, says something else, or has failed meanwhile.
        """
        return self._compared("start", card, self._difference, f"see that the same command runs on every node{moved()}")

    def compare_checkpoints(self, mine: Mapping[str, Any]) -> None:
        """Makes sure that all processes have the same checkpoint.

        Args:
            mine: ``file``, null if there is none, the ``step`` in it, and a ``digest`` of what it holds.

        Raises:
            UserError: If one has another one.
        """
        self._compared("checkpoint", mine, self._other_checkpoint, "see what it prints")

    def wait_for_all(self) -> None:
        """Waits until all processes are about to join.

        Raises:
            UserError: If one does not come, or has failed meanwhile.
        """
        self._compared("joining", {}, lambda first, mine: "", "it is gone, or hangs; see what it prints")

    def free_port(self) -> int | None:
        """One for torch's own store, where torchrun's may hold addresses of processes that it has started again."""
        return free_port() if is_of_torchrun() and self._world.rank == 0 else None

    def _compared(self, topic: str, card: Mapping[str, Any], difference: _Difference, mend: str) -> dict[str, Any]:
        """Waits for all processes; returns what the first one says, if nothing of what the others say is amiss."""
        mine = {"host": self._store.host, **card}
        if self._world.rank == 0:
            self._store.set(f"{topic}/card", json.dumps(mine))
            places = [f"{topic}/found/{rank}" for rank in range(1, self._world.size)]
            self._wait(places, mend)
            if line := next(filter(None, map(self._store.get, places)), ""):
                raise UserError(line)
            self._store.set(f"{topic}/together", "yes")
            return dict(card)
        self._wait([f"{topic}/card"], mend)
        first: dict[str, Any] = json.loads(self._store.get(f"{topic}/card"))
        self._store.set(f"{topic}/found/{self._world.rank}", difference(first, mine))
        self._wait([f"{topic}/together"], mend)
        return first

    def fail(self, line: str) -> str | None:
        """Lets the others know that this process fails, and returns what it is to say: null where the first one does.

        Args:
            line: What is wrong.
        """
        with suppress(UserError, RuntimeError):
            return self._failed(line)
        return self._of_this(line)

    def _failed(self, line: str) -> str | None:
        self.timeout = min(self.timeout, _LINGER)
        end = time.monotonic() + self.timeout
        others = [f"left/{rank}" for rank in range(1, self._world.size)]
        if self._world.rank == 0:
            self._store.set("said", line)
            while time.monotonic() < end and not self._store.has(others):
                time.sleep(0.1)
            return line
        if not self._store.has(["failed"]):
            self._store.set("failed", self._of_this(line))
        while not self._store.has(["said"]):
            if time.monotonic() > end:
                return self._of_this(line)
            time.sleep(0.1)
        said = self._store.get("said")
        self._store.set(f"left/{self._world.rank}", "yes")
        return None if said in (line, self._of_this(line)) else self._of_this(line)

    @property
    def _who(self) -> str:
        return f"process {self._world.rank} on {self._store.host}"

    def _of_this(self, line: str) -> str:
        return line if self._world.rank == 0 else f"{self._who}: {line}"

    def _difference(self, first: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
        for key in first.keys() - {"host", *_OWN}:
            there, here = first[key], mine.get(key)
            if there == here:
                continue
            if isinstance(there, dict) and isinstance(here, dict):
                name = next(name for name in (*there, *here) if there.get(name) != here.get(name))
                key, there, here = name, there.get(name), here.get(name)
            return (
                f"{self._who} was started in another way than process 0 on {first['host']}: {key} is {_short(here)}, "
                f"there {_short(there)}; start all with the same command, files and version"
            )
        return ""

    def _other_checkpoint(self, first: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
        if first["digest"] == mine["digest"]:
            return ""
        return (
            f"{self._who} {_loads(mine)}, process 0 on {first['host']} {_loads(first)}; keep the run in a folder that "
            "all nodes share, or copy one checkpoint to all"
        )

    def _wait(self, keys: list[str], mend: str) -> None:
        """Waits for keys, and for somebody's failure."""
        begin, told, pause = time.monotonic(), False, 0.05
        while not self._store.has(keys):
            for bad in ("said", "failed"):
                if self._store.has([bad]):
                    raise UserError(self._store.get(bad))
            passed = time.monotonic() - begin
            if passed > self.timeout:
                raise UserError(f"{self._absent(keys)} not come within {self.timeout:.0f} s; {mend}")
            if passed > _QUIET and self._world.rank == 0 and not told:
                say(f"note: waiting: {self._absent(keys)} not come yet", error=True)
                told = True
            time.sleep(pause)
            pause = min(2 * pause, _LOOK)

    def _absent(self, keys: Iterable[str]) -> str:
        ranks = [key.rpartition("/")[2] for key in keys if "/found/" in key and not self._store.has([key])]
        named = ", ".join(ranks[:5]) + (", …" if len(ranks) > 5 else "")
        return f"{len(ranks)} of {self._world.size} processes (rank {named}) have" if ranks else "process 0 has"


def _loads(card: Mapping[str, Any]) -> str:
    if card["file"] is None:
        return "finds no checkpoint"
    step = "no step" if card["step"] is None else f"step {card['step']}"
    return f"loads {card['file']} ({step}, contents {card['digest']})"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}…"
