"""One class of a few, which an episode's support set shows."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from torch import Tensor, nn
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Missing, tidy
from mtl_lightning.tasks.base import IGNORE, Task
from mtl_lightning.tasks.label_names import name_of
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.losses import check_fraction, mean_cross_entropy
from mtl_lightning.tasks.means import MeanScore


class _Accuracy(MeanScore):
    """The share of right answers."""

    higher_is_better = True

    def update(self, right: Tensor) -> None:
        """Adds some answers [B]."""
        self.add(right.sum(), right.numel())


class EpisodicClassification(Task):
    """Classification of whole examples whose classes are others in each episode.

    Labels may be any; those of validation and test need not be among training's. Within an episode, they are numbered.

    Args:
        ways: N, the number of classes of an episode; null: any.
        main_metric: The metric that stands for the task, ``accuracy`` or ``loss``.
        dropout: Before the head.
        label_smoothing: See torch's cross entropy.
        missing: Words that mean "no label" in the data, one or a list.

    Reference: Vinyals et al., "Matching Networks for One Shot Learning" (NeurIPS 2016), section 2.2.
    """

    by_episode = True
    beside_labels = Task.beside_labels | {"ways", "label_smoothing"}

    def __init__(
        self, ways: int | None, main_metric: str, dropout: float, label_smoothing: float, missing: Missing
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        if ways is not None and ways < 2:
            raise UserError(f"`ways` must be at least 2, found {ways}")
        check_fraction("label_smoothing", label_smoothing)
        self.ways = ways
        self.label_smoothing = label_smoothing

    def adapt(self, values: Iterable[Any]) -> None:
        """There is nothing to learn of labels that are others in the next episode."""

    def adapted(self) -> dict[str, Any]:
        return {"main_metric": self.main_metric}

    def encode(self, value: Any) -> int:
        """A number that stands for the class, the same in all tables."""
        if self.is_missing(value):
            return IGNORE
        return int.from_bytes(blake2b(tidy(name_of(value)).encode(), digest_size=8).digest(), "big") >> 1

    def check(self, value: Any) -> None:
        self.encode(value)

    def relabel(self, value: Any, rename: Any) -> Any:
        return None if self.is_missing(value) else rename(name_of(value))

    def check_names(self, names: Sequence[str]) -> None:
        """Any are good."""

    def in_words(self, target: Tensor) -> str | None:
        return None if int(target) == IGNORE else f"class {int(target)}"

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return mean_cross_entropy(logits, targets, self.label_smoothing)

    def metrics(self) -> MetricCollection:
        return MetricCollection({"accuracy": _Accuracy()}, compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        present = targets != IGNORE
        if present.any():
            metrics.update((logits.argmax(-1) == targets)[present])

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        return fill_missing(logits.argmax(-1) == targets, targets == IGNORE)

    def decoder(self) -> Decoder:
        raise UserError(
            f"{type(self).__name__} knows the classes of an episode alone, so it has no names to predict; evaluate it "
            "on episodes with `validate` or `test`"
        )


class FewShotClassification(EpisodicClassification):
    """N-way classification of whole examples by a linear layer, whose classes are others in each episode.

    The layer learns from an episode's support set which class is which, and so does the encoder, as the module's
    ``inner_loop`` says: without one, nothing would. Metric: ``accuracy``.

    Args:
        ways: N, the number of classes of an episode.
        main_metric: The metric that stands for the task, ``accuracy`` or ``loss``.
        dropout: Before the head.
        label_smoothing: See torch's cross entropy.
        missing: Words that mean "no label" in the data, one or a list.
        zero_head: Whether the layer begins at zero, so that before the support set is seen, no class is preferred. It
            helps an encoder that has been trained; the head must then be among what adapts.

    Reference: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks" (ICML
    2017), section 3.1.
    """

    beside_labels = EpisodicClassification.beside_labels | {"zero_head"}

    def __init__(
        self,
        ways: int,
        main_metric: str = "accuracy",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        missing: Missing = None,
        zero_head: bool = False,
    ) -> None:
        super().__init__(ways, main_metric, dropout, label_smoothing, missing)
        self.zero_head = zero_head

    @property
    def num_outputs(self) -> int:
        assert self.ways is not None
        return self.ways

    def build(self, features: int) -> None:
        super().build(features)
        assert isinstance(self.head, nn.Linear)
        nn.init.zeros_(self.head.bias)
        if self.zero_head:
            nn.init.zeros_(self.head.weight)
