"""Scores labels of ordered pairs of spans."""

import torch
from torch import Tensor, nn

from mtl_lightning.raw_labels.spans import KINDS


class PairScorer(nn.Module):
    """A score of each label for each ordered pair of spans: W · relu(A s_i + B s_j).

    A span s is its first word, its last word and, if kinds are read, an embedding of its kind. (Lee et al., End-to-end
    neural coreference resolution, EMNLP 2017, section 4, without attention over the words within.)

    Args:
        features: Width D of the words.
        num_labels: C.
        hidden: Width H of what pairs are scored from.
        kind_size: Width of the embedding of a span's kind; 0: it is not read.
        dropout: On what pairs are scored from.
    """

    def __init__(self, features: int, num_labels: int, hidden: int, kind_size: int, dropout: float) -> None:
        super().__init__()
        self.kinds = nn.Embedding(KINDS, kind_size) if kind_size else None
        self.head = nn.Linear(2 * features + kind_size, hidden)
        self.tail = nn.Linear(2 * features + kind_size, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_labels)

    def forward(self, tokens: Tensor, spans: Tensor) -> Tensor:
        """Scores [B, S, S, C], of what leads from the second index's span to the third's.

        Args:
            tokens: One vector a word [B, L, D].
            spans: Start, end (exclusive) and kind of each [B, S, 3]; of those that are none, start and end are -1.
        """
        places = torch.stack([spans[..., 0], spans[..., 1] - 1], -1).clamp(min=0).flatten(1)
        words = tokens.gather(1, places.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        read = [words.reshape(*spans.shape[:2], 2 * tokens.shape[-1])]
        if self.kinds is not None:
            read.append(self.kinds(spans[..., 2].clamp(min=0)).to(tokens.dtype))
        each = torch.cat(read, -1)
        pairs = torch.relu(self.head(each).unsqueeze(2) + self.tail(each).unsqueeze(1))
        scores: Tensor = self.output(self.dropout(pairs))
        return scores
