"""Sound models of the transformers library: what each reads, and how it is run."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_lightning.encoders.sensory_models import load_body, load_input_settings
from mtl_lightning.encoders.sounds import RecordingProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.recordings import MASK, SOUND
from mtl_lightning.inputs.spectrograms import log_mel
from mtl_lightning.inputs.waveforms import WaveformInputs
from mtl_lightning.inputs.whisper import WhisperInputs

_BANDS = 64
"""Of the picture of a waveform."""


class SoundModel(ABC):
    """A model of transformers, and what it reads.

    Args:
        backbone: The model, without a head.

    Attributes:
        width: Of its hidden states.
    """

    width: int

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone

    @property
    @abstractmethod
    def convolutions(self) -> list[nn.Module]:
        """What makes frames of a sound, before the transformer."""

    @property
    @abstractmethod
    def layers(self) -> nn.ModuleList:
        """Of the transformer."""

    @abstractmethod
    def processor(self, settings: Mapping[str, Any], max_seconds: float | None) -> RecordingProcessor:
        """What reads sounds for it.

        Args:
            settings: Of its feature extractor, as transformers writes them; empty: there are none.
            max_seconds: Of the longest part that is read.
        """

    @abstractmethod
    def example(self) -> dict[str, Tensor]:
        """Something that it reads, as the processor collates it."""

    @abstractmethod
    def hidden(self, sound: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, D], and which are real [B, T].

        Args:
            sound: What the processor collated.
            mask: The same.
        """


def sound_model(model: str | None, settings: Mapping[str, Any] | None, pretrained: bool) -> SoundModel:
    """A model that reads sounds; arguments as of :func:`.load_vision_model`.

    Raises:
        UserError: If there is no such model or type of model, or it reads no sounds.
    """
    found: Any = load_body(model, settings, pretrained, "wav2vec2")
    if hasattr(found, "feature_extractor") and hasattr(found.feature_extractor, "conv_layers"):
        return Waveform(found)
    encoder = getattr(found, "encoder", None)
    if found.main_input_name == "input_features" and hasattr(encoder, "conv1") and hasattr(encoder, "embed_positions"):
        return Whisper(encoder)
    raise UserError(
        f"{type(found).__name__} is no model of sounds that can be run here; choose a wav2vec 2.0, HuBERT, WavLM or "
        "Whisper"
    )


class Waveform(SoundModel):
    """A model that reads samples: wav2vec 2.0, HuBERT, WavLM."""

    def __init__(self, backbone: Any) -> None:
        super().__init__(backbone)
        config = backbone.config
        config.apply_spec_augment, config.layerdrop = False, 0.0  # drawn by NumPy; and by chance, no gradient at all
        self.width = int(config.hidden_size)
        if getattr(config, "add_adapter", False):
            raise UserError("`config.add_adapter`: frames of adapters are not counted here; set it to false")
        self._norms = _mask_norms(backbone.feature_extractor)
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # of WavLM's own two masks

    @property
    def norms_over_time(self) -> bool:
        """Whether it normalises over all frames of a recording."""
        return bool(self._norms)

    @property
    def convolutions(self) -> list[nn.Module]:
        return [self.backbone.feature_extractor]

    @property
    def layers(self) -> nn.ModuleList:
        found: nn.ModuleList = self.backbone.encoder.layers
        return found

    @property
    def least(self) -> int:
        """How many samples its convolutions see at once."""
        number, config = 1, self.backbone.config
        for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
            number = (number - 1) * stride + kernel
        return number

    def processor(self, settings: Mapping[str, Any], max_seconds: float | None) -> RecordingProcessor:
        rate, normalise = settings.get("sampling_rate", 16_000), settings.get("do_normalize", True)
        return WaveformProcessor(WaveformInputs(int(rate), max_seconds, bool(normalise), self.least))

    def example(self) -> dict[str, Tensor]:
        sound = torch.linspace(-1, 1, 4 * self.least)[None]
        return {SOUND: sound, MASK: torch.ones_like(sound, dtype=torch.bool)}

    def hidden(self, sound: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        lengths = mask.sum(1)
        for norm, kernel, stride in self._norms:
            norm.frames = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
        found: Tensor = self.backbone(sound, attention_mask=mask.long()).last_hidden_state
        for norm, *_ in self._norms:
            norm.frames = None
        real: Tensor = self.backbone._get_feat_extract_output_lengths(lengths)
        return found, torch.arange(found.shape[1], device=found.device) < real[:, None]


class Whisper(SoundModel):
    """The encoder of Whisper, which reads spectrograms of one length."""

    def __init__(self, backbone: Any) -> None:
        super().__init__(backbone)
        backbone.layerdrop = backbone.config.encoder_layerdrop = 0.0
        self.width = int(backbone.config.d_model)

    @property
    def convolutions(self) -> list[nn.Module]:
        return [self.backbone.conv1, self.backbone.conv2]

    @property
    def layers(self) -> nn.ModuleList:
        found: nn.ModuleList = self.backbone.layers
        return found

    def processor(self, settings: Mapping[str, Any], max_seconds: float | None) -> RecordingProcessor:
        config = self.backbone.config
        named = {"window": settings.get("n_fft", 400), "hop": settings.get("hop_length", 160)}
        frames = 2 * config.max_source_positions
        inputs = WhisperInputs(
            settings.get("sampling_rate", 16_000), config.num_mel_bins, **named, frames=frames, max_seconds=max_seconds
        )
        return WhisperProcessor(inputs)

    def example(self) -> dict[str, Tensor]:
        frames = 2 * self.backbone.config.max_source_positions
        sound = torch.zeros(1, self.backbone.config.num_mel_bins, frames)
        return {SOUND: sound, MASK: torch.ones(1, frames, dtype=torch.bool)}

    def hidden(self, sound: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.backbone(sound).last_hidden_state, mask[:, ::2]  # its second convolution takes every other frame


def sound_settings(model: str | None) -> dict[str, Any]:
    """How a model was given its sounds, where its folder says so; empty: it does not."""
    return load_input_settings(model, "leave it to the defaults of 16 kHz")


class WaveformProcessor(RecordingProcessor):
    """Reads samples."""

    plain: WaveformInputs

    def spectrogram(self, sound: np.ndarray, real: int) -> np.ndarray:
        rate = self.plain.sample_rate
        window = max(16, rate // 40)
        bands = min(_BANDS, window // 8)
        return np.ascontiguousarray(log_mel(sound[:real], rate, bands, window, max(1, window // 2)).T[::-1])


class WhisperProcessor(RecordingProcessor):
    """Makes the spectrograms of Whisper."""

    plain: WhisperInputs

    def spectrogram(self, sound: np.ndarray, real: int) -> np.ndarray:
        return np.ascontiguousarray(sound[::-1, :real])


class _NormOfRealFrames(nn.GroupNorm):
    """Normalises each channel over the real frames of a recording, so that what fills up a batch counts nowhere.

    Attributes:
        frames: How many are real [B]; null: all.
    """

    frames: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Of [B, C, T]."""
        if self.frames is None:
            return super().forward(hidden)
        real = (torch.arange(hidden.shape[2], device=hidden.device) < self.frames[:, None])[:, None].to(hidden.dtype)
        number = self.frames[:, None, None].to(hidden.dtype)
        centred = (hidden - (hidden * real).sum(2, keepdim=True) / number) * real
        scaled = centred * torch.rsqrt(centred.square().sum(2, keepdim=True) / number + self.eps)
        return scaled * self.weight[:, None] + self.bias[:, None]


def _mask_norms(extractor: Any) -> list[tuple[_NormOfRealFrames, int, int]]:
    """Replaces the norms over time; each with the kernel and the stride of the convolution before it."""
    found, (first, *others) = [], list(extractor.conv_layers)
    if any(isinstance(getattr(each, "layer_norm", None), nn.GroupNorm) for each in others):
        raise UserError(f"{type(extractor).__name__} normalises over time more than once, which is not known here")
    norm = getattr(first, "layer_norm", None)
    if isinstance(norm, nn.GroupNorm):
        masked = _NormOfRealFrames(norm.num_groups, norm.num_channels, norm.eps, device=norm.weight.device)
        masked.load_state_dict(norm.state_dict(), assign=True)
        first.layer_norm = masked
        found.append((masked, first.conv.kernel_size[0], first.conv.stride[0]))
    return found
