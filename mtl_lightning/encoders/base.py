"""What an encoder is, and what it hands to the heads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mtl_lightning.encoders.input_processor import InputProcessor
from mtl_lightning.encoders.vocabularies import difference
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedRows

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]
"""What activations are computed in, and recomputed in."""


class Representation(NamedTuple):
    """What an encoder made of a batch.

    Attributes:
        pooled: One vector an example [B, D], or None where the encoder has none.
        tokens: One vector a label position (a word) [B, L, D], or None where the input has no such positions.
        mask: True where ``tokens`` holds a real position [B, L].
        given: The encoder's inputs, by name, for heads that read more than features; no encoder sets it, see
            :func:`mtl_lightning.training.reading.read_by_heads`.
        states: One vector a token that the model reads [B, S, D], where a decoder of the encoder's own looks at them;
            ``attention_mask`` in ``given`` says which are real.
        kept: What a language model keeps of its inputs to write behind them, where it was asked to.
        maps: Feature maps by stride, each [B, C, H / stride, W / stride] of an image [H, W], rounded up; null: it has
            none.
    """

    pooled: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    given: Mapping[str, Tensor] | None = None
    states: Tensor | None = None
    kept: Any = None
    maps: Mapping[int, Tensor] | None = None


class State(NamedTuple):
    """What runs through the stages of an encoder.

    Attributes:
        hidden: What the stages transform: [B, ..., C], or [B, C, ...] where the encoder's ``channel_axis`` is 1.
        context: Whatever else the stages need, such as a mask; they leave it as it is. Tensors in it begin with B.
    """

    hidden: Tensor
    context: Any = None


@dataclass(frozen=True)
class Assets:
    """What an encoder needs besides its weights to be built again from a checkpoint alone.

    Attributes:
        files: Text files by name, say a tokenizer's; ``part/name`` stands in a folder of its own.
        init_args: Arguments of the constructor that replace the configured ones; ``{folder}`` in a string stands for
            the folder into which ``files`` are written. ``{part: {init_args: …}}`` replaces those of encoders in one.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    init_args: Mapping[str, Any] = field(default_factory=dict)


class Encoder(nn.Module, ABC):
    """The shared part of the model.

    An encoder that a sharing may cut is a :class:`StagedEncoder`; of another one, ``begin``, ``stages`` and ``end``
    raise :class:`mtl_lightning.errors.UserError`.

    Attributes:
        features: D, the width of the representation.
        processor: What turns raw columns into this encoder's inputs.
        channel_axis: Where ``State.hidden`` has its channels.
        pretrained: Whether it was trained before, so that copies of its stages start from its parameters; False: they
            are random, and copies are made random too where they must differ.
        keeps: Whether a task will write behind the inputs, so that it hands over what it keeps of them, if it can.
    """

    features: int
    processor: InputProcessor
    channel_axis: int = -1
    pretrained: bool = True
    keeps: bool = False

    @abstractmethod
    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        """Encodes a batch.

        Args:
            inputs: What ``processor.collate`` returned.
        """

    @property
    def mixes_examples(self) -> bool:
        """Whether what it makes of an example now depends on others of the batch: batch normalisation in training."""
        return any(isinstance(module, _BatchNorm) and module.training for module in self.modules())

    @property
    def map_widths(self) -> Mapping[int, int]:
        """C of each of the feature maps that the representation has, by stride; by default, it has none."""
        return {}

    # -- what it learns of the training data before it trains ---------------------------------------------------------
    @property
    def is_complete(self) -> bool:
        """Whether it has all its parameters: by default, from the start."""
        return True

    def learn(self, rows: Iterable[CountedRows]) -> None:
        """Lets the processor take note of the training data, if it is not complete; copies of it have the same one.

        Args:
            rows: Raw values of the inputs in all training splits, some thousand rows at a time.
        """

    def take_learnt(self, files: Mapping[str, str]) -> bool:
        """Takes what a trained encoder has learnt so, instead of learning it; by default, nothing.

        Args:
            files: Of the trained encoder's assets.

        Returns:
            Whether it was there.
        """
        return False

    def complete(self) -> None:
        """Makes the parameters that depend on what was learnt, if it is not complete."""

    # -- stages ------------------------------------------------------------------------------------------------------
    def begin(self, inputs: dict[str, Tensor]) -> State:
        """What the first stage reads: input embeddings, or the inputs themselves."""
        raise self._not_cut()

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The stages in order, each a module State → State; each parameter behind ``begin`` is in one of them."""
        raise self._not_cut()

    def end(self, state: State) -> Representation:
        """What the heads read of the last stage's state; it has no parameters."""
        raise self._not_cut()

    @property
    def widths(self) -> Sequence[int]:
        """C, the number of channels of ``State.hidden``, before the first stage and behind each of the n [n + 1]."""
        raise self._not_cut()

    def pool(self, state: State) -> Tensor:
        """One vector an example of the state of any stage [B, C]: the mean over positions."""
        hidden = state.hidden.movedim(self.channel_axis, 1)
        return hidden.flatten(2).mean(2) if hidden.dim() > 2 else hidden

    def recompute_in(self, contexts: Contexts | None) -> None:
        """Has activations that the backward pass computes again be computed as in the forward pass; by default, there
        are none.

        Args:
            contexts: The ``context_fn`` of ``torch.utils.checkpoint``; null: it needs none.
        """

    @property
    def token_width(self) -> int:
        """Width of the vectors that ``prepend`` takes.

        Raises:
            UserError: If it takes none, as by default.
        """
        raise UserError(f"model.sharing: {type(self).__name__} reads no tokens to which a vector could be prepended")

    def prepend(self, inputs: dict[str, Tensor], vector: Tensor) -> State:
        """What the first stage reads if a vector stands before the embeddings of the tokens; ``end`` and ``pool`` leave
        its position out.

        Args:
            inputs: What ``processor.collate`` returned.
            vector: [``token_width``].
        """
        raise NotImplementedError

    def _not_cut(self) -> UserError:
        return UserError(
            f"model.sharing: {type(self).__name__} does not say how it is cut into stages; derive it from "
            "`StagedEncoder`, or choose a sharing that runs the encoder whole, such as HardSharing or MMoE"
        )

    # -- checkpoints and learning rates ------------------------------------------------------------------------------
    def assets(self) -> Assets:
        """What must be kept in a checkpoint so that it suffices alone; nothing by default."""
        return Assets()

    def save_adapters(self, folder: Path) -> None:
        """Writes the adapter that it has, alone, as peft does.

        Raises:
            UserError: If it has none, as by default, or the files cannot be written.
        """
        raise self._no_adapter()

    def load_adapters(self, folder: Path) -> None:
        """Takes an adapter that ``save_adapters`` or peft has written.

        Raises:
            UserError: If it has none, as by default, or the one in the folder does not fit.
        """
        raise self._no_adapter()

    def merge_adapters(self) -> None:
        """Makes an adapter that it has part of its weights; by default, it has none."""

    def renamed(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """A trained encoder's state under the names that this one has for it: by default, as it is.

        Args:
            state: By name, without ``encoder.``.
        """
        return state

    def save_pretrained(self, folder: Path) -> None:
        """Writes the weights, and what reads the inputs, as the library does that they come from.

        Raises:
            UserError: If they come from none, as by default, or the files cannot be written.
        """
        raise UserError(f"{type(self).__name__} is no model of the transformers library; `save` writes a checkpoint")

    def _no_adapter(self) -> UserError:
        return UserError(f"{type(self).__name__} has no adapter as peft has; a sharing that has is LoRA")

    def layers_by_depth(self) -> Sequence[Sequence[nn.Parameter]]:
        """The parameters of each layer, from the input to the output, for what differs by layer.

        A parameter that stands in none counts as the last one's.

        Raises:
            UserError: If the encoder does not know an order, as by default.
        """
        raise UserError(
            f"model: {type(self).__name__} does not say how its layers follow each other, as `layer_decay` and "
            "`gradient_of: layers` need; give it a method `layers_by_depth` that returns the parameters of each, from "
            "the input to the output"
        )

    def reads_differently(self, files: Mapping[str, str]) -> str | None:
        """How a trained encoder with these files (of its assets) reads its inputs otherwise; null: it does not."""
        return difference(files, self.assets().files) if files else None
