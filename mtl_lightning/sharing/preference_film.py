"""FiLM by preferences: one encoder that can be asked to prefer any of its tasks."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.modulations import Modulations


class PreferenceFiLM(Sharing):
    r"""What the encoder finds is scaled and shifted by functions of a preference between the tasks.

    With the preference r, K numbers of at least 0 that sum to 1, the channels x behind a stage become
    :math:`(1 + \Gamma z) \odot x + B z`, where :math:`z = \max(0, A r + a)` has E numbers. All heads read the same:
    whatever the number of tasks, the encoder runs once. In training, :class:`.COSMOS` draws a preference for each step;
    afterwards the model serves the one that ``preference`` says, which may be another in each command.

    Cost: :math:`2 C E` parameters a stage of width C, and next to no arithmetic.

    Reference: Dosovitskiy and Djolonga, "You Only Train Once: Loss-Conditional Training of Deep Networks" (ICLR 2020),
    section 3, with the conditioning of Perez et al., "FiLM" (AAAI 2018), equations 1 and 2. Difference: one layer
    computes z for all stages, where the former has a perceptron for each.

    Helps: where tasks conflict, and how much each matters is decided after training, or by somebody else. Fails: where
    tasks do not conflict, all preferences have the same best model, and hard sharing with equal weights is it.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages, except for ``features``.
        behind: What is modulated: the output of ``stages``, or the ``features`` that heads read.
        stages: Numbers of the stages concerned, from 1, -1 being the last; null: all.
        width: E.
        preference: Of each task, by name, in any unit, outside of training; tasks that are not named have 0; null: all
            the same.
    """

    wants_preference = True
    drawn: Tensor
    asked: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        behind: Literal["stages", "features"] = "stages",
        stages: Sequence[int] | None = None,
        width: int = 32,
        preference: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(tasks, encoder)
        if behind not in ("stages", "features"):
            raise UserError(f"model.sharing: `behind` is '{behind}'; {did_you_mean(behind, ('stages', 'features'))}")
        if width < 1:
            raise UserError(f"model.sharing: `width` must be at least 1, found {width}")
        self.condition = nn.Sequential(nn.Linear(len(self.tasks), width), nn.ReLU())
        self.modulations = Modulations(width, encoder, behind, stages)
        self.carries_maps = not self.modulations.on_features
        self.register_buffer("asked", _normalised(preference, self.tasks), persistent=False)
        self.register_buffer("drawn", self.asked.clone(), persistent=False)

    def prefer(self, preference: Tensor) -> None:
        """What the next batches of training are to prefer.

        Args:
            preference: At least 0, and 1 in sum [K].
        """
        self.drawn.copy_(preference, non_blocking=True)

    def ask(self, preference: Mapping[str, float]) -> None:
        """What to prefer from now on, outside of training.

        Args:
            preference: Of each task, by name, in any unit; tasks that are not named have 0.

        Raises:
            UserError: If it names another task, or is 0 for all.
        """
        self.asked.copy_(_normalised(preference, self.tasks))

    def encode(self, inputs: Inputs) -> Any:
        """All that the encoder makes of the inputs, by the preference."""
        preference = self.drawn if self.training else self.asked
        with torch.autocast(preference.device.type, enabled=False):  # as what it is multiplied with
            vector = self.condition(preference)
        return self.modulations.end(self.encoder, self.modulations.begin(self.encoder, inputs), vector)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        return dict.fromkeys(tasks, encoded)

    def compiled_parts(self) -> list[Compilable]:
        return [self.encoder] if self.modulations.on_features else list(self.encoder.stages)


def _normalised(preference: Mapping[str, float] | None, tasks: Sequence[str]) -> Tensor:
    """The preference of each task, 1 in sum [K]."""
    given = dict.fromkeys(tasks, 1.0) if preference is None else preference
    for name, value in given.items():
        if name not in tasks:
            raise UserError(f"model.sharing: `preference` names the unknown task '{name}'; {did_you_mean(name, tasks)}")
        if not 0 <= value < float("inf"):
            raise UserError(f"model.sharing: `preference.{name}` must be a finite number of at least 0, found {value}")
    numbers = torch.tensor([float(given.get(task, 0.0)) for task in tasks])
    if not numbers.sum() > 0:
        raise UserError("model.sharing: `preference` is 0 for every task; prefer one")
    return numbers / numbers.sum()
