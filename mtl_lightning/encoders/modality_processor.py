"""Reads inputs of several kinds, each as the stem reads it that it belongs to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.encoders.input_processor import InputProcessor
from mtl_lightning.encoders.shown import PackedRow, Shown
from mtl_lightning.inputs.absent import ABSENT, stand_ins
from mtl_lightning.inputs.modalities import ModalityInputs, Parted


class ModalityProcessor(Parted, InputProcessor):
    """Gives each stem its inputs; see :class:`.ModalityNames` for what they are called.

    A data set has the inputs of one stem or of several. Of several, an example may lack some: ``absent`` [B, stems]
    says which, and the inputs of others stand in their place.

    Args:
        parts: The stems' processors, by stem.
    """

    def __init__(self, parts: Mapping[str, InputProcessor]) -> None:
        super().__init__(parts)
        self.for_heads, self.of_batch, self.looked_up = (
            frozenset(self.names.joined({s: dict.fromkeys(getattr(p, kind)) for s, p in self.parts.items()}))
            for kind in ("for_heads", "of_batch", "looked_up")
        )

    @property
    def plain(self) -> ModalityInputs | None:  # type: ignore[override]
        """What does the same without torch, where all stems have it."""
        plain = {stem: part.plain for stem, part in self.parts.items() if part.plain is not None}
        return ModalityInputs(plain) if len(plain) == len(self.parts) else None

    @property
    def packs(self) -> bool:
        """Whether all stems read a batch packed."""
        return all(part.packs for part in self.parts.values())

    def collate_columns(
        self, columns: Mapping[str, Sequence[Any]], keys: Sequence[Sequence[int]] | None = None
    ) -> dict[str, Tensor]:
        absent = self.collated_absent(columns.get(ABSENT))
        found = {}
        for stem, of in self.names.parted(columns).items():
            lacks = self.names.absent(stem, absent)
            if lacks is not None and lacks.any():
                places = stand_ins(lacks)
                of = {name: [values[i] for i in places] for name, values in of.items()}
            found[stem] = self.parts[stem].collate_columns(of, keys)
        return {**self.names.joined(found), **_tensors(absent)}

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        found = super().collate(examples)
        return {**found, **_tensors({name: found[name] for name in found if name == ABSENT})}

    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]:
        parted = self.names.parted(example)
        varied = self.names.joined({stem: self.parts[stem].varied(of, key) for stem, of in parted.items()})
        return {**varied, ABSENT: example[ABSENT]} if ABSENT in example else varied

    def can_join(self, batches: Sequence[Mapping[str, Tensor]]) -> bool:
        parted = [self.names.parted(inputs) for inputs in batches]
        return all(each.keys() == parted[0].keys() for each in parted) and all(
            self.parts[stem].can_join([each[stem] for each in parted]) for stem in parted[0]
        )

    def join(self, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        parted = [self.names.parted(inputs) for inputs in batches]
        joined = self.names.joined({stem: self.parts[stem].join([each[stem] for each in parted]) for stem in parted[0]})
        return {**joined, ABSENT: torch.cat([each[ABSENT] for each in batches])} if ABSENT in batches[0] else joined

    def num_positions(self, inputs: Mapping[str, Tensor]) -> int | None:
        words = self.names.words
        of = {} if words is None else self.names.parted(inputs).get(words, {})
        return self.parts[words].num_positions(of) if words is not None and of else None

    def shown(self, inputs: Mapping[str, Tensor], example: int) -> Sequence[Shown]:
        shown: list[Shown] = []
        for stem, of in self.names.parted(inputs).items():
            lacks = self.names.absent(stem, inputs)
            found = [] if lacks is not None and lacks[example] else self.parts[stem].shown(of, example)
            named = [next(iter(self.names.called([each.name], stem)), each.name) for each in found]
            shown += [each._replace(name=name) for each, name in zip(found, named, strict=True)]
        return shown

    def packed_rows(self, inputs: Mapping[str, Tensor]) -> Sequence[PackedRow]:
        parted = self.names.parted(inputs)
        return self.parts[self.names.words].packed_rows(parted[self.names.words]) if self.names.words in parted else ()

    def unknown(self, columns: Mapping[str, Sequence[Any]]) -> Mapping[tuple[str, int], np.ndarray]:
        found = {}
        for stem, of in self.names.parted(columns).items():
            for (name, part), values in self.parts[stem].unknown(of).items():
                found[next(iter(self.names.called([name], stem))), part] = values
        return found

    def cut_off(self, values: Mapping[str, Any]) -> str:
        parted = self.names.of_parts(values)
        return " ".join(filter(None, (self.parts[stem].cut_off(of) for stem, of in parted.items())))

    def signature(self) -> Any:
        return {stem: [type(part).__qualname__, part.signature()] for stem, part in self.parts.items()}


def _tensors(absent: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in absent.items()}
