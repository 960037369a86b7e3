"""Where the ways of the tasks part: the first stages of an encoder, and what follows them, once or several times."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from torch import nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.stages import behind, through, with_stages

Pair = tuple[nn.Module, nn.Module]
"""A copy and its original."""


class Trunk(nn.Module):
    """What comes before the branches: an encoder's ``begin`` and its first n stages, inputs → state.

    With n = 0 there is no trunk, not even the ``begin``: it hands on the inputs.

    Args:
        encoder: It keeps its stages: a trunk registers nothing.
        num_stages: n.

    Attributes:
        stages: The first n.
    """

    def __init__(self, encoder: Encoder, num_stages: int) -> None:
        super().__init__()
        self._encoder = (encoder,)
        self.stages = tuple(encoder.stages[:num_stages]) if num_stages else ()

    def forward(self, inputs: Any) -> Any:
        """The state behind the n-th stage.

        Args:
            inputs: The encoder's inputs, each [B, ...].
        """
        if not self.stages:
            return inputs
        return through(self.stages, self._encoder[0].begin(inputs))


class Branch(nn.Module):
    """The stages of an encoder from one on, and its ``end``: state → representation.

    From stage 0 on it is the whole encoder, which need not be cut into stages: inputs → representation.

    Args:
        encoder: It keeps what is its own: a branch registers only what it copies.
        start: Its first stage, from 0.
        copied: Whether it has copies of the stages, made in one go, or the encoder's own.

    Attributes:
        copy: The copies; null: it has none.
    """

    def __init__(self, encoder: Encoder, start: int, copied: bool) -> None:
        super().__init__()
        self._encoder = (encoder,)
        self._start = start
        original: Any = encoder if start == 0 else nn.ModuleList(encoder.stages[start:])
        self._original: tuple[nn.Module] = (original,)
        processor = encoder.processor  # may hold a large vocabulary, and never changes
        self.copy = deepcopy(original, {id(processor): processor}) if copied else None

    @property
    def _is_whole(self) -> bool:
        return self._start == 0

    @property
    def part(self) -> nn.Module:
        """What the branch runs, copied or not: the encoder, or a list of stages."""
        return self._original[0] if self.copy is None else self.copy

    @property
    def encoder(self) -> Any:
        """The encoder whose ``begin`` and ``end`` stand before and behind the stages."""
        return self.part if self._is_whole else self._encoder[0]

    @property
    def stages(self) -> Sequence[nn.Module]:
        """Its stages in order."""
        return list(self.part.children()) if not self._is_whole else self.encoder.stages

    def forward(self, state: Any) -> Any:
        """What a head reads.

        Args:
            state: What its first stage reads; the encoder's inputs where that is stage 0.
        """
        if self._is_whole:
            return self.part(state)
        return self.encoder.end(through(self.stages, state))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles what it runs; of a whole encoder, as that says, since it may have to be made ready."""
        if self._is_whole:
            self.part.compile(*args, **kwargs)
        else:
            super().compile(*args, **kwargs)

    def merged(self) -> Encoder:
        """A copy of the encoder that computes what the trunk and the branch do.

        Raises:
            UserError: If the trunk runs layers of the branch too, and they are no longer the same.
        """
        if self.copy is None or self._is_whole:
            return deepcopy(self.encoder)  # type: ignore[no-any-return]
        if len(behind(self.encoder.stages[: self._start], self._original[0])) < len(list(self.copy.parameters())):
            raise UserError(
                f"model.sharing: this model cannot be merged: {type(self.encoder).__name__} has one layer at several "
                "depths, which some tasks share and others do not; keep the model as it is"
            )
        return with_stages(self.encoder, self._start, self.stages)

    def copies(self) -> list[Pair]:
        """Its copy and the original, if it has one; see :meth:`mtl_lightning.sharing.Sharing.copies`."""
        return [] if self.copy is None else [(self.copy, self._original[0])]


def branches(encoder: Encoder, start: int, number: int) -> nn.ModuleList:
    """Branches that begin at the same stage: the first is the encoder's own, so that it has no part that nobody uses,
    the others are copies, which start from its parameters.

    Args:
        encoder: The model's.
        start: Their first stage, from 0.
        number: How many; at least 1.
    """
    return nn.ModuleList(Branch(encoder, start, copied=i > 0) for i in range(number))
