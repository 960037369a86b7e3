"""Inputs of several kinds, each read by a part of its own: what is whose, and the parts' arrays side by side."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.absent import ABSENT, Reader, encoded_beside, lacking, stand_ins
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.several import NUM_SEQUENCES
from mtl_lightning.inputs.words import Words

T = TypeVar("T")

_OF_ROWS = ("lost", "note")
"""Encoded values that say something of an example for a person; see :meth:`.InputProcessor.encode`."""


class ModalityNames:
    """What the inputs of several parts are called.

    An input that one part alone reads keeps its name; one that several read has the part's name before it:
    ``front_image``, ``back_image``. If predictions are placed in it, such as in words, and that by one part alone, it
    keeps its name for this one. What inputs become is called ``front.image``. The first part with inputs that
    predictions are placed in keeps the names of what they become, by which heads find them.

    Args:
        parts: What reads inputs, by name.

    Attributes:
        inputs: All names of inputs.
        stems: Names of the parts.
        words: The part that keeps its names; null: none does.
        placed_in: Inputs that predictions are placed in.
    """

    def __init__(self, parts: Mapping[str, Reader]) -> None:
        placed = {stem: [name for name in part.inputs if name in part.placed_in] for stem, part in parts.items()}
        readers = Counter(name for part in parts.values() for name in part.inputs)
        placers = Counter(name for names in placed.values() for name in names)
        placed = {stem: [name for name in names if placers[name] == 1] for stem, names in placed.items()}
        self._own = {
            (name if readers[name] == 1 or name in placed[stem] else f"{stem}_{name}"): (stem, name)
            for stem, part in parts.items()
            for name in part.inputs
        }
        self.inputs, self.stems = tuple(self._own), tuple(parts)
        self.words = next((stem for stem, names in placed.items() if names), None)
        self.placed_in = () if self.words is None else tuple(placed[self.words])

    def of_parts(self, inputs: Mapping[str, T]) -> dict[str, dict[str, T]]:
        """Raw inputs by part, each by the name that the part has for it.

        Args:
            inputs: By name; each is known.
        """
        found: dict[str, dict[str, T]] = {}
        for name, value in inputs.items():
            stem, own = self._own[name]
            found.setdefault(stem, {})[own] = value
        return found

    def origin(self, inputs: Iterable[str]) -> dict[str, tuple[str, str]]:
        """The part that reads each input, and its name for it."""
        return {name: self._own[name] for name in inputs}

    def called(self, inputs: Iterable[str], stem: str) -> frozenset[str]:
        """What some inputs of a part are called here."""
        wanted = set(inputs)
        return frozenset(name for name, (part, own) in self._own.items() if part == stem and own in wanted)

    def joined(self, made: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
        """What inputs became, by part, in one mapping."""
        return {self._named(stem, name): value for stem, of in made.items() for name, value in of.items()}

    def parted(self, joined: Mapping[str, T]) -> dict[str, dict[str, T]]:
        """What ``joined`` put into one mapping, by part."""
        found: dict[str, dict[str, T]] = {}
        for name, value in joined.items():
            stem, dot, own = name.partition(".")
            if dot:
                found.setdefault(stem, {})[own] = value
            elif self.words is not None and name not in (*_OF_ROWS, ABSENT):
                found.setdefault(self.words, {})[name] = value
        return found

    def encode(self, parts: Mapping[str, Reader], columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Encodes examples by the parts that read them, arguments else as of :meth:`Inputs.encode`.

        Where several parts read something of an example, ``absent`` says which of them it lacks; see :mod:`.absent`.

        Raises:
            UserError: If an example is several sequences, and other parts read something of it beside; or if it has
                no input at all.
        """
        parted = self.of_parts(columns)
        lacks = {stem: lacking(parts[stem], of) for stem, of in parted.items()} if len(parted) > 1 else {}
        if any(map(all, zip(*lacks.values(), strict=True))):
            raise UserError(f"an example has none of its inputs, {', '.join(columns)}")
        found = {stem: _encoded(stem, parts[stem], of, lacks.get(stem, ())) for stem, of in parted.items()}
        if len(found) > 1 and (several := [stem for stem, encoded in found.items() if NUM_SEQUENCES in encoded]):
            beside = next(stem for stem in found if stem != several[0])
            raise UserError(
                f"the stem '{several[0]}' reads several sequences an example, which cannot be joined with what "
                f"'{beside}' reads; give one text an example, or the inputs of one of them"
            )
        apart = {stem: {n: v for n, v in encoded.items() if n not in _OF_ROWS} for stem, encoded in found.items()}
        encoded = self.joined(apart)
        if lost := [each["lost"] for each in found.values() if "lost" in each]:
            encoded["lost"] = [sum(numbers) for numbers in zip(*lost, strict=True)]
        if notes := [each["note"] for each in found.values() if "note" in each]:
            encoded["note"] = [" and ".join(filter(None, said)) for said in zip(*notes, strict=True)]
        if lacks:
            number = len(next(iter(columns.values())))
            encoded[ABSENT] = [[int(stem in lacks and lacks[stem][i]) for stem in self.stems] for i in range(number)]
        return encoded

    def absent(self, stem: str, joined: Mapping[str, T]) -> T | None:
        """Of collated inputs, which examples lack those of a part [B]; null: nothing is known of it.

        Args:
            stem: The part.
            joined: Arrays or tensors.
        """
        found: Any = joined.get(ABSENT)
        return None if found is None else found[:, self.stems.index(stem)]

    def _named(self, stem: str, name: str) -> str:
        return name if stem == self.words else f"{stem}.{name}"


def _encoded(
    stem: str, part: Reader, columns: Mapping[str, Sequence[Any]], lacks: Sequence[bool]
) -> dict[str, list[Any]]:
    try:
        return encoded_beside(part, columns, lacks)
    except UserError as error:
        raise UserError(f"of the stem '{stem}': {error}", error.word, error.part, error.of) from error


class Parted:
    """What :class:`ModalityInputs` and :class:`.ModalityProcessor` have in common: each part is given what is its own.

    Args:
        parts: What reads inputs, by name.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = dict(parts)
        self.names = ModalityNames(self.parts)
        self.inputs, self.placed_in = self.names.inputs, self.names.placed_in
        self.may_lack = frozenset(self.inputs)
        self.files, self.array_files, self.optional = (
            frozenset().union(*(self.names.called(getattr(part, kind), stem) for stem, part in self.parts.items()))
            for kind in ("files", "array_files", "optional")
        )

    def modalities(self, inputs: Iterable[str]) -> frozenset[str]:
        """The parts that read some of these inputs."""
        return frozenset(part for part, _ in self.names.origin(name for name in inputs if name in self.inputs).values())

    def check(self, inputs: Collection[str]) -> None:
        """Raises :class:`UserError` if a part cannot have its inputs together."""
        for stem, own in self.names.of_parts(dict.fromkeys(inputs)).items():
            self.parts[stem].check(own)

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """See :meth:`ModalityNames.encode`."""
        return self.names.encode(self.parts, columns)

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the parts make of B encoded examples."""
        absent = self.collated_absent([each[ABSENT] for each in examples] if ABSENT in examples[0] else None)
        parted = [self.names.parted(example) for example in examples]
        found = {}
        for stem in parted[0]:
            of = [each[stem] for each in parted]
            lacks = self.names.absent(stem, absent)
            found[stem] = self.parts[stem].collate(of if lacks is None else [of[i] for i in stand_ins(lacks)])
        return {**self.names.joined(found), **absent}

    def collated_absent(self, rows: Any) -> dict[str, Any]:
        """Which inputs some encoded examples lack, as one array; nothing of examples that have one part's alone.

        Args:
            rows: The encoded values [B, stems], if any.
        """
        return {} if rows is None else {ABSENT: np.array([*rows], bool)}

    def length(self, example: Mapping[str, Any]) -> int:
        """Together of all that is read of it."""
        return sum(self.parts[stem].length(of) for stem, of in self.names.parted(example).items())

    def words(self, value: Any) -> Words | None:
        """Those of the part that has label positions."""
        if self.names.words is None:
            return None
        found: Words | None = self.parts[self.names.words].words(value)
        return found


class ModalityInputs(Parted, Inputs):
    """The plain part of :class:`.ModalityProcessor`: its parts are :class:`Inputs`."""

    def state(self) -> dict[str, Any]:
        return {"parts": {stem: part.state() for stem, part in self.parts.items()}}
