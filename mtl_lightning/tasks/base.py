"""What a task is: head, loss, metrics and decoding of one prediction problem."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Number
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Missing, is_missing, missing_words, tidy
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.decoded import Decoded
from mtl_lightning.tasks.evaluated import LOSS, Evaluated
from mtl_lightning.tasks.in_words import InWords
from mtl_lightning.tasks.inheriting import fitting
from mtl_lightning.tasks.taught import Taught

IGNORE = -100
"""Stands for a missing integer label, as in torch's cross entropy; a missing float label is NaN."""

_NO_NAMES = "{} has no label names to map; take the task out of `label_maps`"


class Task(InWords, Decoded, Evaluated, Taught, nn.Module, ABC):
    """One prediction problem.

    A task lives in three steps: it is configured (``__init__``), it learns from the training data what the config left
    open, label names say (``adapt``), and it is built for the width of an encoder (``build``). A checkpoint keeps what
    ``adapted`` returns, so that the training data is not needed again.

    Logits are what ``forward`` returns and ``loss``, ``update``, ``decode`` and ``correct`` read: a tensor, or a tuple
    of tensors (a NamedTuple) where a head computes several things. Each begins with B.

    Attributes:
        level: Which features the head reads: one vector an example (``pooled``), one a position (``tokens``), or
            feature maps (``maps``).
        by_episode: Whether its labels are numbered within an episode, from 0, as its support set has them; it then has
            ``ways``, the number of classes of an episode.
        reads_support: Whether its predictions follow from the support set of an episode; see ``on_support``.
        by_sequence: Whether it tells the sequences of an example apart, such as the choices of a question: it reads
            ``pooled`` [B, N, D], ``tokens`` [B, N, L, D] and ``mask`` [B, N, L], with the number of each sequence, or
            -1, in ``given["sequences"]`` [B, N]. Otherwise it reads the mean of their ``pooled``.
        required_inputs: The encoder's inputs that a data set must have, instead of ``tokens`` where words are labelled;
            ``a|b`` is either.
        uses_encoder: Whether it computes with parameters of the encoder, which are none of its own.
        missing: The encoded value of a missing label, ``IGNORE`` or NaN.
        rounding: Encoded labels that differ by no more are equal but for rounding (that of float32 is known anyway).
        lower_is_better: Names of the metrics that are better when lower; the loss is one anyway.
        missing_words: What ``missing`` of the config says: tidy names that stand for a missing label.
        counted: Whether ``adapt`` takes labels as :class:`.raw_labels.Counted`, each once, some of them several times.
        beside_labels: Names of attributes that ``encode`` does not depend on: encoded labels stay when they change.
        irregular: What ``count_irregular`` counts, for the warning of it.
        main_metric: Name of the metric that stands for the task in averages and in the choice of checkpoints; ``loss``
            is one.
        head: Features → logits; there after ``build``.
        group: Column of the data whose values are groups of examples, which some metrics compare inside; null: none.
        is_predicting: Whether what ``forward`` returns is for ``decode`` alone.
        begins_with: What a decoder that tasks share is told of this one before it writes; null: there is none.
        goes_on: Whether ``forward`` is about to write behind what the encoder reads, with what that ``kept`` of it.
    """

    level: Literal["pooled", "tokens", "maps"] = "pooled"
    by_sequence: ClassVar[bool] = False
    by_episode: ClassVar[bool] = False
    reads_support: ClassVar[bool] = False
    required_inputs: tuple[str, ...] = ()
    uses_encoder: bool = False
    missing: ClassVar[float] = IGNORE
    rounding: float = 0.0
    group: str | None = None
    begins_with: str | None = None
    goes_on: bool = False
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    counted: ClassVar[bool] = False
    beside_labels: ClassVar[frozenset[str]] = frozenset({"main_metric", "rounding", "is_predicting"})
    irregular: ClassVar[str] = "labels"

    def __init__(self, main_metric: str, dropout: float = 0.1, missing: Missing = None) -> None:
        super().__init__()
        if not isinstance(main_metric, str):
            raise UserError(f"`main_metric` must be the name of a metric, found {shown(main_metric)}")
        self.main_metric = main_metric
        self.missing_words = missing_words(missing)
        self._met: set[str] = set()
        self._remarks: list[str] = []
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Module | None = None
        self.is_predicting = False

    # -- labels ------------------------------------------------------------------------------------------------------
    @abstractmethod
    def adapt(self, values: Iterable[Any]) -> None:
        """Learns from raw training labels what the config left open. Called once, with those of all its data sets."""

    @abstractmethod
    def adapted(self) -> dict[str, Any]:
        """Arguments of ``__init__`` that replace ``adapt``; empty where it has not run and the config does not say."""

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """One raw label as a number or a list of numbers; a missing one (None, empty) as ``missing``.

        Raises:
            UserError: Where the value cannot be understood. The caller adds file, column and row.
        """

    def fit(self, target: Any, example: Mapping[str, Any]) -> Any:
        """An encoded label as far as the encoder kept its input; where words are labelled, those that it kept.

        Args:
            target: What ``encode`` returned.
            example: The encoded input, by name; see ``InputProcessor.encode``.

        Raises:
            UserError: If label and input do not fit. The caller adds file, column and row.
        """
        if self.level != "tokens":
            return target
        number = example["num_words"]
        if target and len(target) != number:
            raise UserError(f"{len(target)} tags for {number} words; there must be one a word")
        return (target or [self.missing] * number)[: len(example["word_starts"])]

    @staticmethod
    def moved(label: np.ndarray, zoom: float, mirrored: tuple[bool, bool]) -> np.ndarray:
        """The label of each pixel [..., H, W] after the pixels of its image have moved; by default, it is the same.

        Args:
            label: In the new order.
            zoom: How many times larger things look.
            mirrored: Whether left and right changed places, and whether top and bottom did.
        """
        return label

    def count(self, target: Any) -> int:
        """Number of labels present in an encoded label that fits: what the loss is the mean over."""
        if isinstance(target, int | float):  # an array of each of a million rows takes longer than to read them
            return int(target == target and target != self.missing)
        values = np.asarray(target)
        is_none = np.isnan(values) if self.missing != self.missing else values == self.missing
        return int(np.size(values) - np.count_nonzero(is_none))

    def is_missing(self, value: Any) -> bool:
        """Whether a raw label, or one of several in it, is missing: None, blank, NaN, or a word of ``missing``."""
        if is_missing(value):
            return True
        if not self.missing_words or not isinstance(value, str | Number):
            return False
        word = tidy(str(value))
        if found := word in self.missing_words:
            self._met.add(word)
        return found

    def unmet(self) -> list[str]:
        """A remark on the words of ``missing`` that no raw label was so far; none if there is no such word."""
        words = ", ".join(repr(word) for word in sorted(self.missing_words - self._met))
        return [f"`missing` names {words}, which no label of the training split says"] if words else []

    def check(self, value: Any) -> None:
        """Raises :class:`UserError` if a raw label could not be understood whatever the label set is."""

    def count_irregular(self, target: Any) -> int:
        """How many labels in an encoded label are accepted although they look like a mistake."""
        return 0

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        """One raw label with its names replaced; a missing one stays missing.

        Args:
            value: A raw label.
            rename: The task's name of a data set's label; it raises :class:`UserError` for one that it does not know.
        """
        raise UserError(_NO_NAMES.format(type(self).__name__))

    def check_names(self, names: Sequence[str]) -> None:
        """Raises :class:`UserError` if a name that a label map maps to is none of the labels that the config gives."""
        raise UserError(_NO_NAMES.format(type(self).__name__))

    # -- model -------------------------------------------------------------------------------------------------------
    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Width of the logits."""

    def meet(self, encoder: Any) -> None:
        """Takes note of the model's encoder, before labels are encoded; nothing by default.

        Args:
            encoder: A :class:`mtl_lightning.encoders.Encoder`.

        Raises:
            UserError: If the task cannot read it.
        """

    def build(self, features: int) -> None:
        """Creates the head for features of width D."""
        self.check_metrics()
        self.head = nn.Linear(features, self.num_outputs)

    def check_metrics(self) -> None:
        """Raises :class:`UserError` if the main metric is none of those that there are."""
        names = [LOSS, *(str(name) for name in self.metrics() if name != "label_counts")]
        if self.main_metric not in names:
            raise UserError(f"`main_metric`: unknown metric '{self.main_metric}'; choose from {', '.join(names)}")

    def can_read(self, features: Features) -> bool:
        """Whether these features hold what the head reads."""
        given = features.given or {}
        has_words = features.tokens is not None and "answer" not in given  # an answer's places are no words
        has_level = {"pooled": True, "tokens": has_words, "maps": features.maps is not None}[self.level]
        return (not self.by_sequence or "sequences" in given) and has_level

    def forward(self, features: Features) -> Tensor:
        """Logits [B, ...] or [B, L, ...]."""
        assert self.head is not None, "build() comes first"
        hidden = features.pooled if self.level == "pooled" else features.tokens
        if hidden is None:
            raise UserError(f"{type(self).__name__} reads {self.level} features, which this encoder or input lacks")
        logits: Tensor = self.head(self.dropout(hidden))
        return logits

    def on_support(self, logits: Any, support: Any, labels: Tensor) -> Any:
        """Logits of the query set of an episode; by default as they are, whatever the support set.

        Args:
            logits: What ``forward`` returned of the query set.
            support: The same of the support set.
            labels: Its targets.
        """
        return logits

    def inherited(self, state: Mapping[str, Tensor], adapted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        """What this task, once built, takes over from a trained one of its name and class.

        Args:
            state: The trained one's parameters and buffers, by name.
            adapted: What it had learnt from its data.

        Returns:
            Parameters and buffers in the shapes of this one's, and in words what they are.
        """
        if adapted != self.adapted():
            return {}, "fresh, it was trained on other data"
        return fitting(state, self.state_dict()), "taken"

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean of the loss over the labels that are present, in float32; a scalar."""


def full_precision(values: Tensor) -> Tensor:
    """The values in float32 at least: a float16 loss overflows under a gradient scaler."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
