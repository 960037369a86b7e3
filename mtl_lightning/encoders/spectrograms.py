"""A small convolutional network over spectrograms."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.sounds import SoundProcessor, Sounds
from mtl_lightning.encoders.staged import StagedEncoder
from mtl_lightning.inputs.recordings import MASK, SOUND


class SpectrogramEncoder(StagedEncoder):
    """Convolutions with ReLU and 2x2 max pooling over log-mel spectrograms, then one linear layer on the mean and the
    largest value over time, or on the means over successive parts of it.

    Its representation is pooled [B, features]. It is the same whatever examples a batch has: frames that fill up are 0
    before and after each layer.

    Args:
        channels: Output channels of each convolution; each is followed by 2x2 pooling.
        kernel_size: Width of the convolutions, odd.
        features: Width of the representation.
        dropout: Probability of zeroing a feature of the representation.
        sounds: How sounds are read.
        segments: Of how many parts of equal length the linear layer reads the mean, so that it knows what came first:
            words differ in that. Null: it reads the mean and the largest value over all time, whatever the order.
        batch_norm: Whether to normalise each channel before its ReLU, over the batch, of which the frames that fill up
            are no part.
    """

    channel_axis = 1
    pretrained = False

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 64),
        kernel_size: int = 3,
        features: int = 128,
        dropout: float = 0.0,
        sounds: Sounds | None = None,
        segments: int | None = None,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {kernel_size}")
        if segments is not None and segments < 1:
            raise ValueError(f"segments must be at least 1, found {segments}")
        self.features = features
        self.processor: SoundProcessor = SoundProcessor(sounds or Sounds())
        self._bands = bands = self.processor.plain.num_mels
        self.layers = nn.ModuleList(
            _Block(fan_in, fan_out, kernel_size, 2**depth, batch_norm)
            for depth, (fan_in, fan_out) in enumerate(pairwise([1, *channels]))
        )
        size = channels[-1] * -(-bands // 2 ** len(channels))
        self.project = _Projection(size, features, 2 ** len(channels), segments)
        self.dropout = nn.Dropout(dropout)

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(inputs[SOUND][:, None], inputs[MASK].sum(1, dtype=torch.int64))

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a convolution, with the pooling behind it, and one for the linear layer."""
        return [*self.layers, self.project]

    @property
    def widths(self) -> list[int]:
        convolutions = [module for module in self.layers.modules() if isinstance(module, nn.Conv2d)]
        return [1, *(each.out_channels for each in convolutions), self.features]

    def pool(self, state: State) -> Tensor:
        """The mean over real frames and all bands [B, C]."""
        if state.hidden.dim() < 4:
            return state.hidden
        shrunk, bands = 1, self._bands
        while bands > state.hidden.shape[3]:
            shrunk, bands = 2 * shrunk, -(-bands // 2)
        return _mean(state.hidden, _frames(state, shrunk)).mean(2)

    def end(self, state: State) -> Representation:
        return Representation(pooled=self.dropout(state.hidden))


class _Block(nn.Module):
    """A convolution of spectrograms [B, C, T, M] with ReLU and 2x2 pooling.

    Args:
        fan_in: Input channels.
        fan_out: Output channels.
        kernel_size: Odd.
        shrunk: How many frames of the spectrogram one of its input is.
        batch_norm: Whether to normalise what the convolution makes.
    """

    def __init__(self, fan_in: int, fan_out: int, kernel_size: int, shrunk: int, batch_norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(fan_in, fan_out, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(fan_out) if batch_norm else None
        self.shrunk = shrunk

    def forward(self, state: State) -> State:
        real, hidden = _frames(state, self.shrunk), self.convolution(state.hidden)
        if self.norm is not None:
            hidden = _of_real_frames(self.norm, hidden, real > 0) if self.training else self.norm(hidden)
        hidden = relu(hidden) * real[:, None, :, None]
        return state._replace(hidden=max_pool2d(hidden, 2, ceil_mode=True))


class _Projection(nn.Module):
    """A linear layer with ReLU on what is left of time, of each channel and band.

    Args:
        fan_in: Channels by bands.
        features: Width of its output.
        shrunk: How many frames of the spectrogram one of its input is.
        segments: Parts of time, of each of which it reads the mean; null: the mean and the largest value of all.
    """

    def __init__(self, fan_in: int, features: int, shrunk: int, segments: int | None) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in * (segments or 2), features)
        self.shrunk, self.segments = shrunk, segments

    def forward(self, state: State) -> State:
        real = _frames(state, self.shrunk)
        if self.segments is None:
            pooled = torch.cat([_mean(state.hidden, real), state.hidden.amax(2)], 1)
        else:
            pooled = torch.einsum("bst,bctm->bscm", _weights(real, self.segments), state.hidden)
        return state._replace(hidden=relu(self.linear(pooled.flatten(1))))


def _of_real_frames(norm: nn.Module, hidden: Tensor, real: Tensor) -> Tensor:
    """What a normalisation [N, C, M, 1] makes of the N real frames of a batch [B, C, T, M]; the others are 0."""
    frames, places = hidden.transpose(1, 2).flatten(0, 1), real.flatten().nonzero()[:, 0]
    made = norm(frames.index_select(0, places)[..., None])[..., 0]
    filled = torch.zeros_like(frames, dtype=made.dtype).index_copy(0, places, made)
    return filled.reshape(*real.shape, *filled.shape[1:]).transpose(1, 2)


def _frames(state: State, shrunk: int) -> Tensor:
    """1 for each real frame [B, T] of a state, 0 for others."""
    number = state.hidden.shape[2]
    places = torch.arange(number, device=state.hidden.device)
    lengths: Tensor = state.context[:, None]
    return (places * shrunk < lengths).to(state.hidden.dtype)


def _weights(real: Tensor, segments: int) -> Tensor:
    """What each frame adds to the mean of each part of equal length of its example [B, S, T]; a frame on a border
    belongs to both parts.

    Args:
        real: 1 for each real frame, which come first [B, T].
        segments: S.
    """
    width = real.sum(1).clamp(min=1)[:, None, None] / segments
    first = torch.arange(real.shape[1], device=real.device, dtype=real.dtype)
    start = torch.arange(segments, device=real.device, dtype=real.dtype)[:, None] * width
    shared = torch.minimum(first + 1, start + width) - torch.maximum(first, start)
    return shared.clamp(min=0) / width


def _mean(hidden: Tensor, real: Tensor) -> Tensor:
    """The mean over real frames [B, C, M]; what is filled up is 0."""
    return hidden.sum(2) / real.sum(1).clamp(min=1)[:, None, None]
