"""A linear-chain conditional random field: scores of whole sequences of tags instead of single ones."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mtl_lightning.errors import UserError
from mtl_lightning.tasks.base import IGNORE, full_precision

_IMPOSSIBLE = -1e4
"""Score of a tag or a step that must not be; finite, so that gradients are, and exp of it is 0."""

_NO_WORD = -1e4
"""Logit of every tag at a padded position; whoever takes their softmax finds equal probabilities, not NaN."""


def check_plain(**settings: object) -> None:
    """Raises :class:`UserError` if there is a setting for the loss of single words: a sentence has one loss here."""
    for key, given in settings.items():
        if given:
            raise UserError(f"`{key}` is of the loss of single words, but `decoding: crf` has none; take one out")


class ChainHead(nn.Linear):
    """Features → logits of tags, and the scores of steps from tag to tag.

    Args:
        features: D.
        num_tags: C.
        forbidden: Steps that no path takes [C + 1, C + 1], indexed as ``transitions``; null: all are allowed.
        begins: For each tag the one that stands for it where it must not follow, such as ``B-x`` for ``I-x``;
            null: itself.

    Attributes:
        transitions: Scores of steps [C + 1, C + 1]: row i, column j from tag i to tag j; the last row is from the start
            of a sentence, the last column to its end. 0 at first: words are independent, but for forbidden steps.
    """

    forbidden: Tensor
    begins: Tensor

    def __init__(
        self, features: int, num_tags: int, forbidden: Tensor | None = None, begins: Sequence[int] | None = None
    ) -> None:
        super().__init__(features, num_tags)
        size = (num_tags + 1, num_tags + 1)
        self.transitions = nn.Parameter(torch.zeros(size))
        forbidden = torch.zeros(size, dtype=torch.bool) if forbidden is None else forbidden
        self.register_buffer("forbidden", forbidden, persistent=False)
        self.register_buffer("begins", torch.tensor(begins or range(num_tags)), persistent=False)

    def steps(self) -> Tensor:
        """The scores of steps, without the forbidden ones [C + 1, C + 1], as ``transitions``."""
        return self.transitions.masked_fill(self.forbidden, _IMPOSSIBLE)

    def chain(self, dtype: torch.dtype) -> "Chain":
        """The same, apart."""
        scores = self.steps().to(dtype)
        return Chain(scores[-1, :-1], scores[:-1, :-1], scores[:-1, -1])

    def regular(self, targets: Tensor) -> Tensor:
        """Targets [B, L] with the tag that stands for it where one must not follow the one before."""
        before = pad(targets[:, :-1], (1, 0), value=self.out_features)
        known = (targets != IGNORE) & (before != IGNORE)
        safe = targets.clamp(min=0)
        return torch.where(known & self.forbidden[before.clamp(min=0), safe], self.begins[safe], targets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of the tags that are known, per known tag, in float32; a scalar.

        The sum over the sentences is divided by the number of tags, as that of single tags is. Paths that differ in
        unknown tags are summed: a sentence without any known tag has a loss of 0.

        Args:
            logits: [B, L, C], marked by :func:`without_words`.
            targets: [B, L], ``IGNORE`` where not known.
        """
        emissions, mask = _emissions(logits)
        likelihoods = log_likelihood(emissions, self.regular(targets), mask, self.chain(emissions.dtype))
        return -likelihoods.sum() / torch.ne(targets, IGNORE).sum().clamp(min=1)

    def best(self, logits: Tensor) -> Tensor:
        """The best path of each sentence [B, L]; logits as for ``loss``."""
        emissions, mask = _emissions(logits)
        return best_paths(emissions, mask, self.chain(emissions.dtype))

    def take(self, transitions: Tensor, places: Mapping[int, int]) -> Tensor:
        """A copy of ``transitions`` with what another head knows.

        Args:
            transitions: The other's, [K + 1, K + 1].
            places: Position of a tag of this one → its position there.
        """
        own = self.transitions.detach().clone()
        places = {**places, self.out_features: len(transitions) - 1}
        rows, theirs = torch.tensor(list(places)), torch.tensor(list(places.values()))
        own[rows[:, None], rows] = transitions[theirs[:, None], theirs].to(own)
        return own


class Chain(NamedTuple):
    """Scores of steps: from the start [C], from tag to tag [C, C], to the end [C]."""

    first: Tensor
    steps: Tensor
    last: Tensor


def without_words(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Logits [B, L, C] that say themselves where there is no word, for a loss sees no mask.

    Args:
        logits: Of all positions.
        mask: True at real ones [B, L]; null: all are.
    """
    return logits if mask is None else logits.masked_fill(~mask[..., None], _NO_WORD)


def log_likelihood(emissions: Tensor, targets: Tensor, mask: Tensor, chain: Chain) -> Tensor:
    r"""Log of the probability of the known tags, :math:`\log p(y_K) = \log Z(y_K) - \log Z`, of each sentence [B].

    :math:`Z` sums the weights :math:`\exp \sum_t (s_{y_{t-1} y_t} + e_{t y_t})` of all paths, :math:`Z(y_K)` of those
    that agree with the known tags.

    Args:
        emissions: e [B, L, C].
        targets: Tags [B, L], ``IGNORE`` where not known.
        mask: True at words [B, L], which come before padding.
        chain: s.

    Reference: J. Lafferty et al., Conditional random fields, ICML 2001; unknown tags: Y. Tsuboi et al., Training
    conditional random fields using incomplete annotations, COLING 2008, eq. 4.
    """
    unknown = torch.eq(targets, IGNORE)[..., None]
    agrees = torch.eq(targets[..., None], torch.arange(emissions.shape[-1], device=targets.device)) | unknown
    both = torch.cat([emissions.masked_fill(~agrees, _IMPOSSIBLE), emissions])  # in one loop over the words
    sums = _forward(both, mask.repeat(2, 1), chain)[:, -1] + chain.last
    of_known, of_all = sums.logsumexp(-1).chunk(2)
    return of_known - of_all


def best_paths(emissions: Tensor, mask: Tensor, chain: Chain) -> Tensor:
    """The path with the highest score of each sentence [B, L], by Viterbi's algorithm; arguments as above.

    Positions without a word repeat the last word's tag.
    """
    stay = torch.arange(emissions.shape[-1], device=emissions.device)
    scores, origins = chain.first + emissions[:, 0], []
    for step in range(1, emissions.shape[1]):
        best, origin = (scores[:, :, None] + chain.steps).max(1)
        word = mask[:, step, None]
        scores = torch.where(word, best + emissions[:, step], scores)
        origins.append(torch.where(word, origin, stay))
    tags = [(scores + chain.last).argmax(-1, keepdim=True)]
    for origin in reversed(origins):
        tags.append(origin.gather(1, tags[-1]))
    return torch.cat(tags[::-1], 1)


def _forward(emissions: Tensor, mask: Tensor, chain: Chain) -> Tensor:
    """Log of the weight of all beginnings of paths that end in each tag at each word [B, L, C]."""
    sums, steps = [chain.first + emissions[:, 0]], _Steps.of(chain.steps)
    for step in range(1, emissions.shape[1]):
        found = steps.after(sums[-1]) + emissions[:, step]
        sums.append(torch.where(mask[:, step, None], found, sums[-1]))
    return torch.stack(sums, 1)


class _Steps(NamedTuple):
    """Steps as weights [C, C], of which the largest to each tag is 1, and the logarithms of these [C]."""

    weights: Tensor
    largest: Tensor

    @classmethod
    def of(cls, scores: Tensor) -> "_Steps":
        largest = scores.amax(0).detach()
        return cls((scores - largest).exp(), largest)

    def after(self, sums: Tensor) -> Tensor:
        r"""Log of the sum over tags i of :math:`\exp(a_i + s_{ij})` [B, C], from a [B, C].

        As a sum of products it takes a fifth of the time of ``logsumexp``, and keeps nothing of size [B, C, C] for the
        gradient. It is no matrix product, which would lose digits under mixed precision. In float32 no sum is less than
        e^-87 of the largest: a forbidden step costs no more, which differences of logits do not come near.
        """
        top = sums.amax(1, keepdim=True).detach()
        found = ((sums - top).exp()[:, :, None] * self.weights).sum(1)
        return found.clamp(min=torch.finfo(found.dtype).tiny).log() + top + self.largest


def _emissions(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits in full precision, 0 at padding, and where there are words [B, L]."""
    mask = logits.amax(-1) > _NO_WORD / 2
    return full_precision(logits).masked_fill(~mask[..., None], 0.0), mask
