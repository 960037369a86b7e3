"""Task embeddings behind the encoder: a shared layer reads features and the task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.contracts import Encoder, Representation
from mtl_lightning.sharing.task_vectors import TaskVectors


class ConcatenatedEmbedding(TaskVectors):
    r"""A shared layer reads the encoder's features and a learned vector of the task.

    The head of task t reads :math:`x + B \, \mathrm{ReLU}(A [x, z_t])`, for the vector of the example and for those of
    words alike.

    Cost: the encoder runs once. The layer adds :math:`2 D^2 + D E` parameters, for all tasks together, and as many
    multiplications: :math:`D^2` once, the rest for each task asked for.

    Reference: Ammar et al., "Many Languages, One Parser" (TACL 2016), where the embedding of a language is concatenated
    with what the parser reads. Difference: tasks in place of languages, and the layer adds to the features what it
    finds, which is nothing at the start, so that training begins with hard sharing. Without a layer a vector would only
    shift what linear heads find.

    Helps: with one input for many tasks, as the encoder runs once for all of them. Fails: where tasks disagree on what
    the encoder should find: it cannot know which task it computes for.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's, which need not be cut into stages.
        width: E, the width of the vectors.
    """

    carries_maps = False

    def __init__(self, tasks: Sequence[str], encoder: Encoder, width: int = 32) -> None:
        super().__init__(tasks, encoder, width)
        self.of_features = nn.Linear(self.features, self.features)
        self.of_vector = nn.Linear(width, self.features, bias=False)
        self.back = nn.Linear(self.features, self.features)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def share(self, encoded: Representation, tasks: Sequence[str]) -> dict[str, Representation]:
        found = [self._read(features, tasks) for features in (encoded.pooled, encoded.tokens)]
        return {
            task: encoded._replace(pooled=pooled, tokens=tokens)
            for task, pooled, tokens in zip(tasks, *found, strict=True)
        }

    def _read(self, features: Tensor | None, tasks: Sequence[str]) -> list[Tensor | None]:
        """What each task reads of features [..., D]; A is applied to its two parts one after the other."""
        if features is None:
            return [None] * len(tasks)
        common = self.of_features(features)
        return [features + self.back(torch.relu(common + self.of_vector(self.vectors[task]))) for task in tasks]
