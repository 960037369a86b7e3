"""What experts are made of, and what runs between them: features of the encoder, or the state of its stages."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs
from mtl_lightning.sharing.experts import PerceptronExperts, StageExperts
from mtl_lightning.sharing.stages import start_of_last, through

Experts = PerceptronExperts | StageExperts


class Vectors(NamedTuple):
    """What gates read.

    Attributes:
        values: Vectors [..., D].
        mask: True where there is a real position [...]; null: everywhere.
    """

    values: Tensor
    mask: Tensor | None


class ExpertKind(ABC):
    """Makes experts for each level, and knows how to read and write what runs between levels: the *signal*.

    Args:
        encoder: The model's.

    Attributes:
        features: D, the width of what the heads read.
        carries_maps: See :class:`.base.Sharing`.
    """

    features: int
    carries_maps: bool = True

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @abstractmethod
    def encode(self, inputs: Inputs) -> Any:
        """What the first level reads."""

    @abstractmethod
    def make(self, level: int, num_experts: int, with_original: bool) -> Experts:
        """Experts of a level; ``with_original``: one of them may be the encoder's own."""

    @abstractmethod
    def width(self, level: int) -> int:
        """Width of what the gates of a level read."""

    @abstractmethod
    def vectors(self, signal: Any) -> list[Vectors]:
        """What the gates read, one for each tensor that an expert makes."""

    @abstractmethod
    def run(self, experts: Experts, signal: Any) -> list[Tensor]:
        """What experts make of a signal: tensors with a dimension for the experts after those of ``vectors``."""

    @abstractmethod
    def row_values(self, signal: Any, vectors: Tensor) -> Any:
        """What an expert reads of one vector that gates read: tensors [N, ...].

        Args:
            signal: The signal.
            vectors: All of its ``vectors``, one behind the other [N, D].
        """

    @abstractmethod
    def replaced(self, signal: Any, mixed: Sequence[Tensor]) -> Any:
        """A signal with other tensors."""

    @abstractmethod
    def end(self, signal: Any) -> Any:
        """The representation that a signal is."""

    @abstractmethod
    def compiled_parts(self) -> Sequence[Compilable]:
        """What of the encoder is run."""

    @abstractmethod
    def common_parameters(self) -> Sequence[nn.Parameter]:
        """Those of the encoder that are run for every task."""


class FeatureKind(ExpertKind):
    """Experts are perceptrons; the signal is a representation.

    They and the gates read ``pooled`` and ``tokens`` alike, each position for itself.

    Args:
        encoder: The model's; it is run whole.
        widths: Of the experts' layers; null: one as wide as the encoder's features.
    """

    carries_maps = False

    def __init__(self, encoder: Encoder, widths: Sequence[int] | None) -> None:
        super().__init__(encoder)
        self.widths = [encoder.features] if widths is None else list(widths)
        if not self.widths or any(width < 1 for width in self.widths):
            raise UserError(
                f"model.sharing: `expert_widths` must be one or more widths of at least 1, found {self.widths}; leave "
                "it out for one layer as wide as the features"
            )
        self.features = self.widths[-1]

    def encode(self, inputs: Inputs) -> Any:
        return self.encoder(inputs)

    def make(self, level: int, num_experts: int, with_original: bool) -> Experts:
        return PerceptronExperts(num_experts, self.width(level), self.widths)

    def width(self, level: int) -> int:
        return self.features if level else self.encoder.features

    def vectors(self, signal: Any) -> list[Vectors]:
        return [Vectors(*each) for each in ((signal.pooled, None), (signal.tokens, signal.mask)) if each[0] is not None]

    def run(self, experts: Experts, signal: Any) -> list[Tensor]:
        return [experts(vectors) for vectors, _ in self.vectors(signal)]

    def row_values(self, signal: Any, vectors: Tensor) -> Tensor:
        return vectors

    def replaced(self, signal: Any, mixed: Sequence[Tensor]) -> Any:
        names = [name for name in ("pooled", "tokens") if getattr(signal, name) is not None]
        return signal._replace(**dict(zip(names, mixed, strict=True)))

    def end(self, signal: Any) -> Any:
        return signal

    def common_parameters(self) -> Sequence[nn.Parameter]:
        return list(self.encoder.parameters())

    def compiled_parts(self) -> Sequence[Compilable]:
        return [self.encoder]


class StageKind(ExpertKind):
    """Experts are copies of the encoder's last stages; the signal is the state between them.

    Gates read the state's pooled vector, and all positions of an example are mixed alike.

    Args:
        encoder: The model's; the stages before are its trunk, which is run once.
        num_stages: How many stages are copied.
        num_levels: Into how many levels of as many stages they are cut.
    """

    def __init__(self, encoder: Encoder, num_stages: int, num_levels: int) -> None:
        super().__init__(encoder)
        self.start, self.step = start_of_last("expert_stages", num_stages, encoder), num_stages // num_levels
        if num_stages % num_levels:
            raise UserError(
                f"model.sharing: `expert_stages` must be a multiple of `num_levels`, found {num_stages} stages for "
                f"{num_levels} levels"
            )
        self.features = encoder.features

    @property
    def trunk(self) -> Sequence[nn.Module]:
        """The stages before the experts."""
        return self.encoder.stages[: self.start]

    def encode(self, inputs: Inputs) -> Any:
        return through(self.trunk, self.encoder.begin(inputs))

    def make(self, level: int, num_experts: int, with_original: bool) -> Experts:
        first = self.start + level * self.step
        return StageExperts(self.encoder, slice(first, first + self.step), num_experts, with_original)

    def width(self, level: int) -> int:
        return self.encoder.widths[self.start + level * self.step]

    def vectors(self, signal: Any) -> list[Vectors]:
        return [Vectors(self.encoder.pool(signal), None)]

    def run(self, experts: Experts, signal: Any) -> list[Tensor]:
        return [experts(signal)]

    def row_values(self, signal: Any, vectors: Tensor) -> Any:
        return signal

    def replaced(self, signal: Any, mixed: Sequence[Tensor]) -> Any:
        return signal._replace(hidden=mixed[0])

    def end(self, signal: Any) -> Any:
        return self.encoder.end(signal)

    def common_parameters(self) -> Sequence[nn.Parameter]:
        return [parameter for stage in self.trunk for parameter in stage.parameters()]

    def compiled_parts(self) -> Sequence[Compilable]:
        return list(self.encoder.stages)


def kind_of(encoder: Encoder, widths: Sequence[int] | None, stages: int | None, num_levels: int = 1) -> ExpertKind:
    """What experts are made of.

    Args:
        encoder: The model's.
        widths: ``expert_widths``.
        stages: ``expert_stages``; null: they are perceptrons.
        num_levels: Number of levels.

    Raises:
        UserError: If both are given, or one is out of its range.
    """
    if stages is None:
        return FeatureKind(encoder, widths)
    if widths is not None:
        raise UserError(
            "model.sharing: experts are perceptrons (`expert_widths`) or copies of stages (`expert_stages`), not both; "
            "leave one out"
        )
    return StageKind(encoder, stages, num_levels)
