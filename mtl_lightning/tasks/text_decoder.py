"""A small transformer that writes tokens while it looks at vectors."""

import torch
from torch import Tensor, nn


class TextDecoder(nn.Module):
    """A transformer decoder over tokens; its output layer is its table of embeddings.

    Args:
        vocabulary: Number of tokens V.
        features: Width D of what it looks at, and of itself.
        layers: Number of layers.
        heads: Number of attention heads, a divisor of D.
        longest: Number of positions.
        dropout: In all layers.
    """

    def __init__(self, vocabulary: int, features: int, layers: int, heads: int, longest: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, features)
        self.positions = nn.Embedding(longest, features)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=features**-0.5)
        layer = nn.TransformerDecoderLayer(
            features, heads, 4 * features, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerDecoder(layer, layers, nn.LayerNorm(features))

    def forward(self, written: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        """Logits of the token behind each [B, T, V].

        Args:
            written: Tokens so far [B, T].
            seen: Vectors to look at [B, L, D].
            mask: True at those that are real [B, L]; where an example has none, it looks at all.
        """
        places = torch.arange(written.shape[1], device=written.device)
        hidden = self.tokens(written) * self.tokens.embedding_dim**0.5 + self.positions(places)
        ahead = places.unsqueeze(0) > places.unsqueeze(1)
        padding = ~mask & mask.any(1, keepdim=True)
        hidden = self.layers(hidden, seen, tgt_mask=ahead, memory_key_padding_mask=padding)
        logits: Tensor = hidden @ self.tokens.weight.t()
        return logits
