"""What a model says of itself: its tasks, and the inputs that it reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtl_lightning.rows.texts import OF_LINES


@dataclass(frozen=True)
class Catalogue:
    """What can be asked.

    Attributes:
        tasks: What each predicts, by name: ``labels`` and the like, whatever its decoder has.
        ways: Names of inputs that are given together; and the tasks that are predicted on them.
        files: Inputs that are files in base64.
        optional: Inputs that may be left out.
        may_lack: Inputs that may be null where an example has others.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    ways: Sequence[tuple[frozenset[str], Sequence[str]]]
    files: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    may_lack: frozenset[str] = frozenset()

    @property
    def text(self) -> str | None:
        """The input that a plain text is; null: the model reads no such thing."""
        return next((name for name in OF_LINES if any(names == {name} for names, _ in self.ways)), None)

    def reads(self, inputs: Iterable[str]) -> bool:
        """Whether inputs of these names can be given together."""
        given = set(inputs)
        return any(names - self.optional <= given <= names for names, _ in self.ways)

    def as_json(self) -> dict[str, Any]:
        """What ``/tasks`` answers."""
        of_task = {name: [sorted(inputs) for inputs, tasks in self.ways if name in tasks] for name in self.tasks}
        return {
            "text": self.text,
            "tasks": {name: {**about, "inputs": of_task[name]} for name, about in self.tasks.items()},
        }


_TOLD = ("labels", "threshold")


def told(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of a decoder's state who asks must know.

    >>> told({"decoder": "LabelDecoder", "labels": ["sad", "glad"], "weights": [0.5]})
    {'predicts': 'Label', 'labels': ['sad', 'glad']}
    """
    kind = {"predicts": state["decoder"].removesuffix("Decoder")} if "decoder" in state else {}
    return {**kind, **{name: state[name] for name in _TOLD if name in state}}
