"""Sounds: what is read of files, what becomes of samples, and what is refused."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from mtl_lightning.data import FileSource
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.decoding.from_state import made
from mtl_lightning.encoders import SoundProcessor, Sounds, SpecAugment, SpectrogramEncoder
from mtl_lightning.encoders.spectrograms import _weights
from mtl_lightning.errors import UserError
from mtl_lightning.inputs import spectrograms
from mtl_lightning.inputs.sound_files import resampled
from mtl_lightning.inputs.sounds import SoundInputs
from mtl_lightning.inputs.spectrograms import log_mel, mel_filters, warped_filters, warped_frequencies

RATE = 8000
TONE = np.sin(2 * np.pi * 1000 * np.arange(2000) / RATE).astype(np.float32) / 2


def file_of(samples: np.ndarray, rate: int = RATE, form: str = "FLAC") -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


def read(value: Any, start: Any = None, length: Any = None, **settings: Any) -> np.ndarray:
    """The samples of one sound, at a rate of 8 kHz."""
    inputs = SoundInputs(RATE, **settings)
    columns = {"sound": [value], "sound_start": [start], "sound_length": [length]}
    return inputs.read(inputs.encode(columns)["sound"][0])


def notes(value: Any) -> str:
    (found,) = SoundInputs(RATE).encode({"sound": [value]})["note"]
    return str(found)


def test_a_path_bytes_base64_and_samples_give_the_same(tmp_path: Path) -> None:
    content = file_of(TONE)
    (tmp_path / "a.flac").write_bytes(content)
    text = base64.b64encode(content).decode()
    ways = [tmp_path / "a.flac", content, text, TONE, TONE.tolist(), np.stack([TONE, TONE])]
    ways += [{"bytes": content, "path": None}, {"array": TONE, "sampling_rate": RATE}, file_of(TONE, form="WAV")]
    for way in ways:
        assert read(way) == pytest.approx(TONE, abs=1e-4)


def test_a_part_is_the_same_samples_of_the_file() -> None:
    content = file_of(TONE)
    assert np.array_equal(read(content, 500, "100"), read(content)[500:600])
    assert np.array_equal(read(content, 1900), read(content)[1900:])
    assert len(read(content, max_seconds=0.01)) == 80


def test_channels_are_averaged() -> None:
    assert read(file_of(np.stack([TONE, -TONE / 2], 1))) == pytest.approx(TONE / 4, abs=1e-4)


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100])
def test_another_rate_is_resampled(rate: int) -> None:
    times = np.arange(rate // 4) / rate
    found = resampled(np.sin(2 * np.pi * 1000 * times).astype(np.float32), rate, RATE)
    assert len(found) == -(-len(times) * RATE // rate)
    middle = slice(200, -200)
    assert found[middle] == pytest.approx(np.sin(2 * np.pi * 1000 * np.arange(len(found)) / RATE)[middle], abs=2e-3)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    high = np.sin(2 * np.pi * 7000 * np.arange(8000) / 16000).astype(np.float32)
    assert np.abs(resampled(high, 16000, RATE))[200:-200].max() < 0.01


def test_a_tone_is_in_its_band() -> None:
    found = log_mel(TONE, RATE, 40, 200, 80)
    assert found.shape == (1 + -(-(2000 - 200) // 80), 40)
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42)[1:-1] / 2595) - 1)
    assert np.argmax(found[5]) == np.argmin(np.abs(centres - 1000))
    assert (found[5] > np.log(1e-3)).sum() < 10
    assert mel_filters(RATE, 40, 256).max(0) == pytest.approx(np.ones(40), abs=0.5)


def test_long_sounds_are_transformed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = log_mel(TONE, RATE, 40, 200, 80)
    monkeypatch.setattr(spectrograms, "_BLOCK", 7)
    assert np.array_equal(log_mel(TONE, RATE, 40, 200, 80), whole)


@pytest.mark.parametrize("normalise", ["utterance", "bands"])
def test_spectrograms_are_normalised(normalise: Any) -> None:
    noise = np.random.default_rng(0).normal(size=4000).astype(np.float32) / 10
    found = SoundInputs(RATE, 20, 200, 80, normalise=normalise).features(noise)
    axis = 0 if normalise == "bands" else None
    assert np.abs(found.mean(axis)).max() < 1e-4 and np.abs(found.std(axis) - 1).max() < 1e-3


def test_what_is_odd_is_noted() -> None:
    assert notes(file_of(TONE)) == ""
    assert notes(file_of(TONE * 0)) == "are silent"
    assert notes((TONE * 30_000).astype(np.int16)).startswith("have samples far beyond -1 and 1; divide")
    assert notes(file_of(TONE, 16000)) == "have 16,000 samples a second, and are resampled to 8,000"


@pytest.mark.parametrize(
    ("value", "part", "message"),
    [
        (b"", (None, None), "the sound is an empty file"),
        (Path("a" * 300), (None, None), "is no path of a file; a text in a table is a path"),
        (Path(), (None, None), "is a folder; give the path of a file"),
        (b"version https://git-lfs.github.com/spec/v1\n", (None, None), "is a pointer of Git LFS, .* `git lfs pull`"),
        (b"nothing that is heard", (None, None), "cannot be read: .*; save it as WAV or FLAC"),
        (Path("gone.wav"), (None, None), r"no file gone\.wav"),
        ("a.wav", (None, None), "a text must be a sound file in base64"),
        ("", (None, None), "the sound is missing"),
        (None, (None, None), "the sound is missing: null"),
        (file_of(TONE), (1900, 200), "has 2,000 samples, and no part of 200 from 1,900 on"),
        (file_of(TONE), (-1, 2), "no part of 2 from -1 on"),
        (file_of(TONE), (0, 0), "a part has at least one sample"),
        (file_of(TONE), (0.5, 10), "`sound_start` must be a whole number"),
        (np.full(10, np.nan), (None, None), "must be finite numbers, found nan"),
        (np.full(10, 1e30), (None, None), r"has samples of 1e\+30, which should be from -1 to 1; scale them"),
        (Path("https://a.org/a.wav"), (None, None), "addresses are not fetched: fetch the files"),
        ([], (None, None), r"must be \[n\], or \[channels, n\], found \(0,\)"),
        (np.zeros((2, 2, 9)), (None, None), "found"),
        ({"array": [0.5], "sampling_rate": "fast"}, (None, None), "`sampling_rate` must be a number"),
        (file_of(TONE, form="WAV")[:200], (None, None), "the sound is cut off: it has 200 of 4,044 bytes"),
        (file_of(TONE)[:-200], (None, None), "cut off|cannot be read"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(value: Any, part: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read(value, *part)
    assert "\n" not in str(error.value) and "input 'sound'" in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sounds(hop=0),
        lambda: Sounds(dynamic_range=0),
        lambda: Sounds(vtlp=-0.1),
        lambda: Sounds(vtlp=1),
        lambda: SoundProcessor(Sounds(RATE, 40, vtlp=0.7)),
        lambda: SoundInputs(RATE, 40, window=100, hop=200),
        lambda: SoundInputs(RATE, 200, window=64, hop=32),
        lambda: SpecAugment(p=2),
        lambda: SoundInputs(RATE).check(["sound_start"]),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(UserError):
        make()


def test_what_an_export_keeps_makes_the_same_reader() -> None:
    state = json.loads(json.dumps(SoundInputs(RATE, 40, 200, 80, 1.5, "bands").state()))
    assert made(SoundInputs, state).state() == state


def test_masks_follow_from_the_key() -> None:
    spectrogram = np.ones((50, 20), np.float32)
    augment = SpecAugment(5, 10, num_masks=2)
    first, again, other = (augment(spectrogram, key) for key in ([1, 2, 3], [1, 2, 3], [1, 2, 4]))
    assert np.array_equal(first, again) and not np.array_equal(first, other) and spectrogram.min() == 1
    bands = [(augment(spectrogram, [seed]) == 0).all(0).sum() for seed in range(200)]
    frames = [(augment(spectrogram, [seed]) == 0).all(1).sum() for seed in range(200)]
    assert 5 < max(bands) <= 10 and 10 < max(frames) <= 20 and min(bands) == min(frames) == 0


def test_a_sound_is_encoded_the_same_beside_longer_ones() -> None:
    encoder = SpectrogramEncoder([2, 3, 4], features=8, sounds=Sounds(RATE, 20)).eval()
    processor = encoder.processor
    examples = [{"sound": processor.encode({"sound": [s]})["sound"][0]} for s in (TONE[:700], TONE, TONE[:1900])]
    together = encoder(processor.collate(examples)).pooled
    for row, example in enumerate(examples):
        alone = encoder(processor.collate([example])).pooled[0]
        assert together[row].tolist() == pytest.approx(alone.tolist(), abs=1e-5)


@pytest.mark.parametrize("length", [1, 7, 32, 45])
def test_segments_know_what_came_first_and_not_what_a_sound_is_batched_with(length: int) -> None:
    encoder = SpectrogramEncoder([2, 3], features=8, sounds=Sounds(RATE, 20), segments=3).eval()
    sounds = torch.randn(3, 60, 20, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(60) < torch.tensor([[length], [60], [30]])
    beside = encoder({"sound": sounds * mask[..., None], "sound_mask": mask}).pooled
    alone = encoder({"sound": sounds[:1, :length], "sound_mask": mask[:1, :length]}).pooled
    torch.testing.assert_close(beside[:1], alone, atol=1e-5, rtol=1e-5)
    turned = encoder({"sound": sounds[1:2].flip(1), "sound_mask": mask[1:2]}).pooled
    assert not torch.allclose(turned, beside[1:2], atol=1e-3)


def test_frames_that_fill_up_are_no_part_of_what_a_batch_is_normalised_by() -> None:
    torch.manual_seed(0)
    encoder = SpectrogramEncoder([2, 3], features=8, sounds=Sounds(RATE, 20), batch_norm=True)
    sounds, mask = torch.randn(2, 33, 20), torch.arange(33) < torch.tensor([[33], [17]])
    inputs = {"sound": sounds * mask[..., None], "sound_mask": mask}
    longer = {name: torch.cat([each, torch.zeros_like(each)], 1) for name, each in inputs.items()}
    torch.testing.assert_close(encoder(inputs).pooled, encoder(longer).pooled)
    seen = encoder.layers[0].convolution(inputs["sound"][:, None]).transpose(1, 2)[mask]
    torch.testing.assert_close(encoder.layers[0].norm.running_mean, 0.19 * seen.mean((0, 2)))  # of two batches
    encoder.eval()
    alone = {"sound": inputs["sound"][1:, :17], "sound_mask": mask[1:, :17]}
    torch.testing.assert_close(encoder(inputs).pooled[1:], encoder(alone).pooled)


def test_the_parts_of_time_are_of_equal_length() -> None:
    weights = _weights(torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 0, 0, 0, 0]]), 2)
    assert weights.sum(2).tolist() == [[pytest.approx(1)] * 2] * 3
    torch.testing.assert_close(weights[0, :, :4], torch.tensor([[2, 1, 0, 0], [0, 1, 2, 0]]) / 3)
    assert weights[1, 1].tolist() == [0, 0, 0.5, 0.5, 0] and weights[2].tolist() == [[1, 0, 0, 0, 0]] * 2


def test_the_quietest_parts_are_raised() -> None:
    samples = TONE * np.linspace(0, 1, len(TONE), dtype=np.float32)
    plain, raised = (SoundInputs(RATE, 20, normalise="none", dynamic_range=db).features(samples) for db in (None, 20))
    assert raised.max() == plain.max() and raised.min() == pytest.approx(plain.max() - 2 * np.log(10), abs=1e-4)
    assert (raised[raised > raised.min()] == plain[raised > raised.min()]).all()
    centred = SoundInputs(RATE, 20, normalise="centred").features(samples)
    assert np.abs(centred.mean(0)).max() < 1e-4 and centred.std() == pytest.approx(1, abs=1e-2)


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file\na.wav\n")
    source = FileSource({"train": "a.csv"}, {"sound": "file"}, {}, str(tmp_path))
    encoding = Encoding("d", source, SpectrogramEncoder([2], sounds=Sounds(RATE, 20)).processor, {})
    table = source.load()["train"]
    lengths = []
    for samples in (TONE, TONE[:1000]):
        (tmp_path / "a.wav").write_bytes(file_of(samples, form="WAV"))
        lengths.append(encoding(table, "train")[0]["inputs/sound"]["length"])
    assert lengths == [2000, 1000]


def test_training_sounds_are_played_faster_and_higher_or_slower_and_lower() -> None:
    times = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 0.1 * RATE * times).astype(np.float32)
    processor = SoundProcessor(Sounds(RATE, 40, normalise="none", speed=0.2))
    example = {"sound": processor.encode({"sound": [tone]})["sound"][0]}
    played = [processor.varied(example, [0, 0, 0, row])["sound"] for row in range(30)]
    lengths, bands = ([int(of(sound)) for sound in played] for of in (len, lambda sound: sound.mean(0).argmax()))
    usual = len(processor.plain.features(tone))
    assert 0.8 * usual < min(lengths) < 0.9 * usual and 1.1 * usual < max(lengths) < 1.27 * usual
    assert np.corrcoef(lengths, bands)[0, 1] < -0.9 and len(set(bands)) > 4
    again = processor.varied(example, [0, 0, 0, 7])["sound"]
    assert np.array_equal(again, played[7])
    with pytest.raises(UserError, match=r"sounds\.speed"):
        Sounds(speed=1.0)


@pytest.mark.parametrize(("rate", "highest"), [(RATE, 3400), (16_000, 4800)])
@pytest.mark.parametrize("warp", [0.8, 1.25])
def test_frequencies_are_warped_by_a_factor_up_to_the_highest_formants(rate: int, highest: float, warp: float) -> None:
    bend = highest * min(warp, 1) / warp
    frequencies = np.array([0, bend / 2, bend, (bend + rate / 2) / 2, rate / 2])
    found = warped_frequencies(frequencies, rate, warp)
    assert found == pytest.approx([0, warp * bend / 2, warp * bend, (warp * bend + rate / 2) / 2, rate / 2])
    assert warped_frequencies(frequencies, rate, 1) == pytest.approx(frequencies)
    assert np.array_equal(warped_filters(rate, 40, 512, 1), mel_filters(rate, 40, 512))


def test_training_sounds_are_heard_as_of_other_vocal_tracts_and_last_as_long() -> None:
    processor = SoundProcessor(Sounds(RATE, 40, normalise="none", vtlp=0.2))
    example = {"sound": processor.encode({"sound": [TONE]})["sound"][0]}
    heard = [processor.varied(example, [0, 0, 0, row])["sound"] for row in range(30)]
    bands, usual = [int(sound[5].argmax()) for sound in heard], processor.plain.features(TONE)
    assert {len(sound) for sound in heard} == {len(usual)} and min(bands) < usual[5].argmax() < max(bands)
    assert len(set(bands)) > 4 and np.array_equal(processor.varied(example, [0, 0, 0, 7])["sound"], heard[7])
    assert np.array_equal(processor.collate([example])["sound"][0], usual)
