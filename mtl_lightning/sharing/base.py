"""What stands between the inputs and the heads."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.observing import Observations, Part, parts_by_reader, use_within


class Sharing(nn.Module, ABC):
    """Makes of the inputs what each task's head reads: a :class:`mtl_lightning.encoders.Representation` a task.

    It does so in two steps: ``encode`` computes what the tasks have in common, once for all, and ``share`` what they
    have not, for those that are asked for. The encoder stays the model's, under its own name; a sharing may run it
    whole, cut it into stages, copy parts of it, or wrap its layers.

    A task's loss must reach the same parameters in every step: what a batch does not need takes part with a gradient of
    zero.

    One with experts makes an :class:`mtl_lightning.sharing.observing.ExpertUse` and has it ``note`` each task's weights
    in ``share``; one whose weights are parameters returns a new one in ``observe``, which says what they are now. What
    they come to is then logged, watched and reported.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.

    Attributes:
        tasks: The names.
        features: D, the width of what the heads read; the encoder's unless a sharing says otherwise.
        reads_parameters: Whether it computes with the encoder's parameters other than by running its modules, so that
            these must be whole on each process.
        is_plain: Whether every head reads what the encoder makes of the inputs, as it is.
        wants_preference: Whether it must ``prefer`` what the weighting has drawn, before each batch of training.
        carries_maps: Whether it does with feature maps what it does with other features; False: it works on ``pooled``
            and ``tokens`` alone, behind the encoder, so that tasks that read maps would not see it.
    """

    reads_parameters: bool = False
    is_plain: bool = False
    wants_preference: bool = False
    carries_maps: bool = True

    def __init__(self, tasks: Sequence[str], encoder: Encoder) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.features = encoder.features
        self._encoder = (encoder,)  # in a tuple: a module would be registered a second time

    @property
    def encoder(self) -> Encoder:
        """The model's encoder."""
        return self._encoder[0]

    def forward(self, inputs: Inputs, tasks: Sequence[str]) -> dict[str, Representation]:
        """What the head of each of ``tasks`` reads; nothing is computed for other tasks.

        Args:
            inputs: The encoder's inputs, each [B, ...].
            tasks: Names of the T tasks wanted.
        """
        return self.share(self.encode(inputs), tasks)

    def encode(self, inputs: Inputs) -> Any:
        """What the tasks have in common: by default, all that the encoder makes of the inputs.

        ``gradient_of: features`` compares the tasks' gradients by the tensors in it.

        Args:
            inputs: The encoder's inputs, each [B, ...].

        Returns:
            Tensors of which the first dimension is B, in tuples, lists and dicts.
        """
        return self.encoder(inputs)

    @abstractmethod
    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        """What the head of each of ``tasks`` reads.

        Args:
            encoded: What ``encode`` returned.
            tasks: Names of the T tasks wanted.
        """

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """The parameters, also those of the encoder, that one task alone trains; none by default.

        Args:
            task: Its name.
        """
        return []

    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters, also those of the encoder, that several tasks may train: all that no task has for its own."""
        own = {id(parameter) for task in self.tasks for parameter in self.own_parameters(task)}
        held = dict.fromkeys([*self.encoder.parameters(), *self.parameters()])
        return [parameter for parameter in held if id(parameter) not in own]

    def merge(self, task: str) -> Encoder:
        """A plain encoder, a copy, that computes what one task's head reads.

        Args:
            task: Its name.

        Raises:
            UserError: If no plain encoder does, or there is no such task.
        """
        raise UserError(
            f"model.sharing: {type(self).__name__} cannot be merged: what it adds to the encoder is no part of its "
            "weights; keep the model as it is"
        )

    def _refuse_unknown(self, task: str) -> None:
        if task not in self.tasks:
            raise UserError(f"there is no task '{task}'; {did_you_mean(task, self.tasks)}")

    def terms(self) -> dict[str, Tensor]:
        """Loss terms of its own for the batch that it has just seen in training, each with its coefficient.

        They join the objective as they are: no task's, and without a weight. Their names are the same in every step and
        on every process; a term that a batch has nothing to say of is zero. None by default.
        """
        return {}

    def copies(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Copies of parts of the encoder, each with its original: they train at the encoder's learning rate, and start
        from the original's parameters where a checkpoint has none for them. None by default.
        """
        return ()

    def lr_factors(self) -> Mapping[str, tuple[float, Sequence[nn.Parameter]]]:
        """Parameters that have a learning rate of their own, by the name of their group in the optimizer: relative to
        that of the heads, and which they are. None by default.
        """
        return {}

    def prefer(self, preference: Tensor) -> None:
        """What the next batches of training are to prefer, where it ``wants_preference``.

        Args:
            preference: Of each task, at least 0, and 1 in sum [K].
        """

    def ask(self, preference: Mapping[str, float]) -> None:
        """What to prefer from now on outside of training, where it ``wants_preference``.

        Args:
            preference: Of each task, by name.
        """

    def take_form(self, saved: Any) -> None:
        """Becomes what another one was when its state was saved, before the state is loaded; nothing by default.

        Args:
            saved: The extra state of the other one.
        """

    def compiled_parts(self) -> Sequence[Compilable]:
        """The modules that are compiled with ``compile_encoder``: by default the encoder, which is run whole."""
        return [self.encoder]

    def observe(self) -> Observations:
        """What it has learned of the tasks, for logs and reports: by default, what its experts were used for."""
        return Observations(use_within(self))

    def parts(self) -> Sequence[Part]:
        """Its parameters and the encoder's by who reads them: by default, all that is no task's own is read by all."""
        own = {task: self.own_parameters(task) for task in self.tasks}
        return parts_by_reader(self.encoder.parameters(), self, own)
