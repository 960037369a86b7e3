"""Where in an encoder a vector scales and shifts what is found."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.contracts import Encoder, Inputs
from mtl_lightning.sharing.modulation import Modulation, conditional_norms, modulated_states
from mtl_lightning.sharing.stages import stage_numbers, through

Place = Literal["stages", "norms", "features"]

_MAKERS: dict[str, Callable[[int, Encoder, Sequence[int]], dict[int, nn.Module]]] = {
    "stages": modulated_states,
    "norms": conditional_norms,
}


class Modulations(nn.ModuleDict):
    """What a vector changes of an encoder's work, by the number of stages before it.

    Args:
        width: E, of the vector.
        encoder: The model's; it must be cut into stages, except for ``features``.
        behind: What is modulated: the output of ``stages``, of the ``norms`` inside of them, or the ``features`` that
            heads read.
        stages: Numbers of the stages concerned, from 1, -1 being the last; null: all.

    Attributes:
        on_features: Whether it is the features.

    Raises:
        UserError: If stages are named that have no effect, or do not exist.
    """

    def __init__(self, width: int, encoder: Encoder, behind: Place, stages: Sequence[int] | None) -> None:
        super().__init__()
        self.on_features = behind == "features"
        if self.on_features and stages is not None:
            raise UserError("model.sharing: `stages` have no effect on `behind: features`; leave them out")
        if self.on_features:
            steps: dict[int, nn.Module] = {0: Modulation(width, encoder.features)}
        else:
            steps = _MAKERS[behind](width, encoder, stage_numbers("stages", stages, encoder))
        self.update({str(number): step for number, step in steps.items()})
        self._first = min(steps)

    def begin(self, encoder: Encoder, inputs: Inputs) -> Any:
        """All that the encoder computes before the first modulation."""
        if self.on_features:
            return encoder(inputs)
        return through(encoder.stages[: self._first], encoder.begin(inputs))

    def end(self, encoder: Encoder, begun: Any, vector: Tensor) -> Any:
        """What heads read, by a vector [E].

        Args:
            encoder: The model's.
            begun: What ``begin`` returned.
            vector: The same for all examples.
        """
        if self.on_features:
            pooled, tokens = (None if x is None else self["0"](x, vector) for x in (begun.pooled, begun.tokens))
            return begun._replace(pooled=pooled, tokens=tokens)
        stages = [*encoder.stages, nn.Identity()]
        for number, stage in enumerate(stages[self._first :], self._first):
            key = str(number)
            begun = self[key](begun, vector, stage) if key in self else stage(begun)
        return encoder.end(begun)
