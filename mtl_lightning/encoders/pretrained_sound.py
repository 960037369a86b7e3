"""Sound models of the transformers library."""

import json
import logging
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.encoders.base import Assets, Encoder, Representation
from mtl_lightning.encoders.pooling import mean
from mtl_lightning.encoders.sound_models import Waveform, sound_model, sound_settings
from mtl_lightning.encoders.sounds import RecordingProcessor
from mtl_lightning.inputs.recordings import MASK, SOUND

_LOG = logging.getLogger(__name__)


class PretrainedSoundEncoder(Encoder):
    """A sound model of the transformers library, pretrained or from scratch: wav2vec 2.0, HuBERT, WavLM, or the encoder
    of Whisper.

    Its input is ``sound``, as that of :class:`SpectrogramEncoder`: samples at the model's own rate, each recording
    brought to mean 0 and deviation 1 if its settings say so; Whisper reads log-mel spectrograms of 30 seconds. Its
    representation is pooled [B, features], the mean over the frames of the recording, and is the same whatever
    recordings a batch has. The model's own random masks and dropped layers are off. It is run whole: a sharing cannot
    cut it.

    Args:
        model: Name on the Hugging Face hub, or a folder; null: ``config`` says the architecture.
        config: What replaces the model's own settings, or an architecture: ``{model_type: wav2vec2, …}``.
        pretrained: Whether the weights of ``model`` are loaded; false: they are random.
        max_seconds: Of the longest part that is read, from its beginning; null: all of it, of Whisper 30 seconds.
        frozen: Train none of it.
        frozen_convolutions: Train the transformer alone, and not the convolutions that make frames of a sound, as is
            usual where little is labelled.

    Raises:
        UserError: If there is no such model, or it reads no sounds.
    """

    processor: RecordingProcessor

    def __init__(
        self,
        model: str | None = None,
        config: dict[str, Any] | None = None,
        pretrained: bool = True,
        max_seconds: float | None = None,
        frozen: bool = False,
        frozen_convolutions: bool = False,
    ) -> None:
        super().__init__()
        self._run = sound_model(model, config, pretrained)
        self.backbone: Any = self._run.backbone
        self.pretrained, self.frozen = model is not None and pretrained, frozen
        self.features = self._run.width
        self._settings = sound_settings(model)
        self.processor = self._run.processor(self._settings, max_seconds)
        for module in self._run.convolutions if frozen_convolutions else ():
            module.requires_grad_(False)
        self._freeze_the_rest()
        if isinstance(self._run, Waveform) and self._run.norms_over_time:
            _LOG.warning(
                f"{type(self.backbone).__name__} normalises over all frames of a recording (group norm): what fills up "
                "a batch is left out, so that results differ from a model that is run on padded sounds without a mask"
            )
        self.train()

    def _freeze_the_rest(self) -> None:
        """Freezes parameters that have no part in what is made of a sound, such as that of masked frames."""
        device = next(self.backbone.parameters()).device
        self.backbone.eval()
        with torch.enable_grad():
            pooled = self({name: each.to(device) for name, each in self._run.example().items()}).pooled
        assert pooled is not None
        parameters = [each for each in self.backbone.parameters() if each.requires_grad]
        for each, gradient in zip(
            parameters, torch.autograd.grad(pooled.sum(), parameters, allow_unused=True), strict=True
        ):
            if gradient is None or self.frozen:
                each.requires_grad_(False)

    def train(self, mode: bool = True) -> "PretrainedSoundEncoder":
        super().train(mode and not self.frozen)
        return self

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        hidden, real = self._run.hidden(inputs[SOUND], inputs[MASK])
        return Representation(mean(hidden, real))

    def layers_by_depth(self) -> list[list[torch.nn.Parameter]]:
        layers = [list(layer.parameters()) for layer in self._run.layers]
        inside = {id(parameter) for layer in layers for parameter in layer}
        return [[each for each in self.backbone.parameters() if id(each) not in inside], *layers]

    def assets(self) -> Assets:
        config = self.backbone.config.to_json_string(use_diff=False)
        files = {"config.json": config, "preprocessor_config.json": json.dumps(self._settings)}
        return Assets(files, {"model": "{folder}", "config": None, "pretrained": False})
