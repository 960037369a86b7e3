"""Which process the others wait for, as far as what each says of itself tells."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Beat:
    """What a process says of itself every few seconds.

    Attributes:
        rank: Of the process.
        host: Its machine.
        pid: Its number there.
        count: Of what it has said so far; 0 when it has left.
        moves: Number of batches that it has begun, of any kind.
        place: Where it is, for a message: ``step 7, at forward (mlp.py:12)``.
        waiting: Whether it waits for other processes there.
    """

    rank: int
    host: str
    pid: int
    count: int
    moves: int
    place: str
    waiting: bool

    @property
    def name(self) -> str:
        """How a message calls the process."""
        return f"process {self.rank} on {self.host} ({self.pid})"

    def dumps(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "Beat":
        """From text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Verdict:
    """Which process does not go on, and what is said of it.

    Attributes:
        rank: Of the process; null where all wait for each other.
        text: What is said.
    """

    rank: int | None
    text: str


@dataclass
class _Seen:
    beat: Beat
    answered: float
    moved: float


class Lookout:
    """Judges which process does not go on. Times are seconds of the clock of whoever looks: no other one counts."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def note(self, beat: Beat, now: float) -> None:
        """Takes note of what a process has said last."""
        if beat.count == 0:
            self._seen.pop(beat.rank, None)
            return
        before = self._seen.setdefault(beat.rank, _Seen(beat, now, now))
        if beat.count != before.beat.count:
            before.answered = now
        if (beat.moves, beat.place, beat.waiting) != (before.beat.moves, before.beat.place, before.beat.waiting):
            before.moved = now
        before.beat = beat

    def silent(self, now: float, patience: float) -> list[Beat]:
        """Processes of which nothing new was heard for ``patience`` seconds."""
        return [seen.beat for seen in self._seen.values() if now - seen.answered >= patience]

    def judge(self, now: float, patience: float) -> Verdict | None:
        """Which process has kept the others waiting, if any has for ``patience`` seconds."""
        for beat in self.silent(now, patience):
            return Verdict(beat.rank, f"{beat.name} has not answered for {patience:.0f} s; it was in {beat.place}")
        waiting = [seen for seen in self._seen.values() if seen.beat.waiting and now - seen.moved >= patience]
        if not waiting:
            return None
        for beat in (seen.beat for seen in self._seen.values() if not seen.beat.waiting):
            return Verdict(
                beat.rank, f"{beat.name} has kept the others waiting for {patience:.0f} s; it is in {beat.place}"
            )
        if len(waiting) < len(self._seen):
            return None
        places = "; ".join(f"process {seen.beat.rank} in {seen.beat.place}" for seen in waiting)
        return Verdict(None, f"all processes have waited for each other for {patience:.0f} s: {places}")
