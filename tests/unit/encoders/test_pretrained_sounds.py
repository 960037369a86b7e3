"""Sound models of transformers hear what transformers would have them hear, whatever a recording is batched with."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import BERT, SOUND
from transformers import AutoModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from mtl_lightning.encoders import PretrainedSoundEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.whisper import WhisperInputs

WAVEFORMS = [kind for kind in SOUND if kind != "whisper"]
SOUNDS = [np.sin(np.arange(600 + 300 * n) * (n + 1) / 9).astype(np.float32) + n for n in range(3)]


def collated(encoder: PretrainedSoundEncoder, sounds: list[Any]) -> dict[str, torch.Tensor]:
    encoded = encoder.processor.encode({"sound": sounds})
    return encoder.processor.collate([{"sound": each} for each in encoded["sound"]])


def made(kind: str, **arguments: Any) -> PretrainedSoundEncoder:
    torch.manual_seed(0)
    return PretrainedSoundEncoder(config=SOUND[kind], **arguments).eval()


@pytest.mark.parametrize("kind", WAVEFORMS)
def test_a_recording_is_heard_as_transformers_has_it_heard_alone(kind: str) -> None:
    encoder = made(kind)
    plain = AutoModel.from_config(encoder.backbone.config).eval()
    plain.load_state_dict(encoder.backbone.state_dict())
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=16_000, do_normalize=True)
    found = encoder(collated(encoder, SOUNDS)).pooled
    for sound, pooled in zip(SOUNDS, found, strict=True):
        values = extractor(sound, sampling_rate=16_000, return_tensors="pt").input_values
        torch.testing.assert_close(plain(values).last_hidden_state.mean(1)[0], pooled, atol=1e-5, rtol=1e-4)


def test_whisper_hears_what_its_extractor_makes() -> None:
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=1)
    inputs = WhisperInputs(16_000, 80, frames=100)
    for sound in (SOUNDS[1], np.random.default_rng(0).normal(size=20_000).astype(np.float32)):
        expected = extractor(sound, sampling_rate=16_000, return_tensors="np").input_features[0]
        np.testing.assert_allclose(inputs.features(sound), expected, atol=1e-4)  # it rounds to 32 bits in between


def test_whisper_takes_the_mean_over_what_is_no_added_silence() -> None:
    encoder = made("whisper")
    inputs = collated(encoder, [SOUNDS[0], np.ones(9000)])
    assert inputs["sound"].shape == (2, 8, 40)
    assert inputs["sound_mask"].sum(1).tolist() == [4, 40]
    hidden = encoder.backbone(inputs["sound"]).last_hidden_state
    torch.testing.assert_close(encoder(inputs).pooled, torch.stack([hidden[0, :2].mean(0), hidden[1].mean(0)]))


def test_sounds_are_read_as_the_model_was_trained_and_its_assets_build_it_again(tmp_path: Path) -> None:
    made("wav2vec2").backbone.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000, "do_normalize": False}))
    encoder = PretrainedSoundEncoder(str(tmp_path), max_seconds=1.0).eval()
    assert encoder.pretrained
    again = tmp_path / "again"
    again.mkdir()
    for name, text in encoder.assets().files.items():
        (again / name).write_text(text)
    other = PretrainedSoundEncoder(str(again), pretrained=False).eval()
    other.load_state_dict(encoder.state_dict())
    for each in (encoder, other):
        assert (each.processor.plain.sample_rate, each.processor.plain.normalise) == (8000, False)
    inputs = collated(encoder, SOUNDS)
    assert torch.equal(other(inputs).pooled, encoder(inputs).pooled)


def test_a_saved_whisper_is_its_encoder(tmp_path: Path) -> None:
    whole = AutoModel.from_config(made("whisper").backbone.config)
    whole.save_pretrained(tmp_path)
    encoder = PretrainedSoundEncoder(str(tmp_path))
    assert all(
        torch.equal(value, whole.encoder.state_dict()[name]) for name, value in encoder.backbone.state_dict().items()
    )
    assert encoder.pretrained and not PretrainedSoundEncoder(str(tmp_path), pretrained=False).pretrained


def test_parts_are_frozen() -> None:
    assert not any(p.requires_grad for p in made("wav2vec2", frozen=True).parameters())
    trained = {name for name, p in made("wav2vec2", frozen_convolutions=True).named_parameters() if p.requires_grad}
    assert trained and not any("feature_extractor" in name for name in trained)
    assert made("wav2vec2", frozen=True).train().training is False


def test_layers_are_in_order() -> None:
    for kind in SOUND:
        encoder = made(kind)
        assert len(encoder.layers_by_depth()) == 1 + encoder.backbone.config.num_hidden_layers


def test_a_norm_over_time_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mtl_lightning"):
        made("hubert")
        assert not caplog.records
        made("wav2vec2")
    assert "normalises over all frames of a recording (group norm)" in caplog.text


def test_training_draws_nothing_but_dropout() -> None:
    encoder = PretrainedSoundEncoder(
        config={**SOUND["wav2vec2"], "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
        | {"feat_proj_dropout": 0.0, "layerdrop": 0.9, "mask_time_prob": 0.9, "mask_time_length": 2}
    ).train()
    inputs = collated(encoder, SOUNDS)
    assert torch.equal(encoder(inputs).pooled, encoder(inputs).pooled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": BERT}, "BertModel is no model of sounds that can be run here; choose a wav2vec 2.0"),
        (
            {"config": {"model_type": "wav2vec3"}},
            "`config.model_type` is the unknown 'wav2vec3'; did you mean 'wav2vec2",
        ),
        ({"config": {}}, "`config` misses 'model_type' .say `wav2vec2`"),
        ({"config": {**SOUND["wav2vec2"], "add_adapter": True}}, "`config.add_adapter`"),
        ({"model": "nowhere/none"}, "cannot load 'nowhere/none'"),
    ],
)
def test_what_is_no_such_model_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PretrainedSoundEncoder(**arguments)


def test_a_recording_that_is_too_short_is_refused() -> None:
    message = r"input 'sound': the sound has 19 samples at 16,000 a second, and the model reads 1.25 ms at least; leave"
    encoder = made("wav2vec2")
    with pytest.raises(UserError, match=message):
        encoder.processor.encode({"sound": [np.ones(19)]})
    assert encoder(collated(encoder, [np.ones(20)])).pooled.isfinite().all()
