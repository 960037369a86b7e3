"""Prototypical networks: the class of the nearest mean."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.few_shot import EpisodicClassification


class PrototypicalClassification(EpisodicClassification):
    r"""Classification by the distance of a query's features to the mean features of each class's support examples.

    The logit of class k is :math:`-d(f(x), c_k)` with the prototype :math:`c_k`, the mean of :math:`f` over the support
    examples of the class, and d the squared Euclidean distance. With ``distance: cosine`` it is :math:`s \cos(f(x),
    c_k)` with a scale s that is learnt. The loss is the cross entropy of the query set. No ``model.inner_loop`` is
    needed, and an evaluation may have more or fewer classes than training. Metric: ``accuracy``.

    Args:
        main_metric: The metric that stands for the task, ``accuracy`` or ``loss``.
        dropout: Of the features.
        label_smoothing: See torch's cross entropy.
        missing: Words that mean "no label" in the data, one or a list.
        embedding: Width of a linear layer whose outputs are f; null: f are the encoder's features.
        distance: d.

    Reference: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning" (NeurIPS 2017), eq. 1 and 2.
    Difference: nothing without ``embedding`` and with the Euclidean distance.
    """

    reads_support = True
    beside_labels = EpisodicClassification.beside_labels | {"embedding", "distance"}

    def __init__(
        self,
        main_metric: str = "accuracy",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        missing: Missing = None,
        embedding: int | None = None,
        distance: Literal["euclidean", "cosine"] = "euclidean",
    ) -> None:
        super().__init__(None, main_metric, dropout, label_smoothing, missing)
        if embedding is not None and embedding < 1:
            raise UserError(f"`embedding` must be at least 1, found {embedding}")
        self.embedding = embedding
        self.distance = distance
        self.scale = nn.Parameter(torch.tensor(10.0)) if distance == "cosine" else None

    @property
    def num_outputs(self) -> int:
        """Width of f."""
        assert self.embedding is not None, "build() comes first"
        return self.embedding

    def build(self, features: int) -> None:
        self.check_metrics()
        self.head = nn.Identity() if self.embedding is None else nn.Linear(features, self.embedding)
        self.embedding = self.embedding or features

    def on_support(self, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        """Logits [Q, N] of queries from their features [Q, D], the support set's [S, D] and its labels [S]."""
        present = labels != IGNORE
        queries, support, labels = full_precision(logits), full_precision(support)[present], labels[present]
        if self.scale is not None:
            queries, support = normalize(queries, dim=-1), normalize(support, dim=-1)
        prototypes = means_by_label(support, labels)
        if self.scale is not None:
            return self.scale * queries @ normalize(prototypes, dim=-1).T
        squares = queries.square().sum(-1, keepdim=True) + prototypes.square().sum(-1)
        return 2 * queries @ prototypes.T - squares


def means_by_label(features: Tensor, labels: Tensor) -> Tensor:
    """Mean features [N, D] of the examples of each of the labels 0 … N - 1 from features [S, D] and labels [S]."""
    members = one_hot(labels).to(features.dtype)
    return members.T @ features / members.sum(0).clamp(min=1).unsqueeze(-1)
