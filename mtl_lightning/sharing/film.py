"""FiLM: each task scales and shifts what the encoder finds."""

from collections.abc import Sequence
from typing import Any, get_args

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.modulations import Modulations, Place
from mtl_lightning.sharing.task_vectors import TaskVectors


class FiLM(TaskVectors):
    r"""Each task scales and shifts the channels of hidden states by factors that are computed from a learned vector.

    Behind a stage, x becomes :math:`\gamma \odot x + \beta` with :math:`\gamma = 1 + \Gamma z_t` and
    :math:`\beta = B z_t`. With ``behind: norms`` the same is done behind each normalisation inside of the stages, by
    changing its scale and shift: conditional layer normalisation, or conditional batch normalisation.

    Cost: :math:`2 C E` parameters a stage of width C, and next to no arithmetic; but with one input for K tasks, what
    follows the first modulated stage runs once for each task asked for. With a data set for each task it runs as often
    as in hard sharing.

    Reference: Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer" (AAAI 2018), equations 1 and 2;
    for ``norms``, Pilault, Elhattami and Pal, "Conditionally Adaptive Multi-Task Learning" (ICLR 2021), conditional
    layer normalisation. Difference: the condition is the task, by a vector that starts from zero, so that training
    begins with hard sharing. Pilault et al. shift the scale of a normalisation too and leave its shift alone; their
    conditional attention, alignment and bottleneck are not here.

    Helps: where tasks need different parts of one network: a scale near zero turns a channel off for a task, at a
    handful of parameters. Fails: at ``features``, where a linear head can do all that scale and shift do.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages, except for ``features``.
        behind: What is modulated: the output of ``stages``, of the ``norms`` inside of them, or the ``features`` that
            heads read.
        stages: Numbers of the stages concerned, from 1, -1 being the last; null: all.
        width: E, the width of the vectors.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        behind: Place = "stages",
        stages: Sequence[int] | None = None,
        width: int = 32,
    ) -> None:
        super().__init__(tasks, encoder, width)
        if behind not in get_args(Place):
            raise UserError(f"model.sharing: `behind` is '{behind}'; {did_you_mean(behind, get_args(Place))}")
        self.modulations = Modulations(width, encoder, behind, stages)
        self.carries_maps = not self.modulations.on_features

    def encode(self, inputs: Inputs) -> Any:
        """All that the encoder computes before the first modulation."""
        return self.modulations.begin(self.encoder, inputs)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        return {task: self.modulations.end(self.encoder, encoded, self.vectors[task]) for task in tasks}

    def compiled_parts(self) -> list[Compilable]:
        return [self.encoder] if self.modulations.on_features else list(self.encoder.stages)
