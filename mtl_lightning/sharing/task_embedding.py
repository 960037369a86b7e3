"""Task embeddings: the encoder reads which task it computes for."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.stages import through
from mtl_lightning.sharing.task_vectors import TaskVectors

Place = Literal["added", "prepended"]


class TaskEmbedding(TaskVectors):
    r"""A learned vector per task is added to the input embeddings, or prepended to them as a token.

    Added: the first stage reads :math:`x + z_t` at each position. Prepended: it reads :math:`[z_t, x_1, \ldots, x_L]`;
    the head does not see the added position.

    Cost: a vector a task. With one input for K tasks, all stages run once for each task asked for; with a data set for
    each task, as often as in hard sharing.

    Reference: Conneau and Lample, "Cross-lingual Language Model Pretraining" (NeurIPS 2019), where languages are added;
    Johnson et al., "Google's Multilingual Neural Machine Translation System" (TACL 2017), where the language to
    translate to is prepended. Difference: tasks in place of languages. What is added starts from zero, so that training
    begins with hard sharing.

    Helps: where each data set has its own task: all parameters are shared, and yet the encoder may treat tasks
    differently. Fails: one input for many tasks costs as many passes. A vector in front of a deep encoder may be
    ignored; :class:`FiLM` acts on every stage.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages. Images and numbers have no positions: there, vectors are added
            to the channels of the input.
        place: ``added``, or ``prepended``, which takes an encoder of tokens with a position to spare.
    """

    def __init__(self, tasks: Sequence[str], encoder: Encoder, place: Place = "added") -> None:
        if place not in get_args(Place):
            raise UserError(f"model.sharing: `place` is '{place}'; {did_you_mean(place, get_args(Place))}")
        self.is_prepended = place == "prepended"
        if self.is_prepended:
            super().__init__(tasks, encoder, encoder.token_width, std=0.02)
        else:
            super().__init__(tasks, encoder, encoder.widths[0])

    def encode(self, inputs: Inputs) -> Any:
        """What the first stage would read without vectors; the inputs where they are prepended."""
        return inputs if self.is_prepended else self.encoder.begin(inputs)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        return {task: self._represented(encoded, task) for task in tasks}

    def _represented(self, encoded: Any, task: str) -> Any:
        state = self._prepended(encoded, task) if self.is_prepended else self._added(encoded, task)
        return self.encoder.end(through(self.encoder.stages, state))

    def _prepended(self, inputs: Inputs, task: str) -> Any:
        return self.encoder.prepend(inputs, self.vectors[task])

    def _added(self, state: Any, task: str) -> Any:
        channels = state.hidden.movedim(self.encoder.channel_axis, -1) + self.vectors[task]
        return state._replace(hidden=channels.movedim(-1, self.encoder.channel_axis))

    def compiled_parts(self) -> list[Compilable]:
        return list(self.encoder.stages)
