"""Files in requests: none of the server's own, and none that decodes to more than it may."""

import base64
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from in_process import InProcess
from PIL import Image

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.image_files import checked
from mtl_lightning.inputs.images import ImageInputs
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.inputs.recordings import Recordings
from mtl_lightning.inputs.sounds import SoundInputs
from mtl_lightning.serve.catalogue import Catalogue
from mtl_lightning.serve.outcomes import outcomes
from mtl_lightning.serve.refusals import Refusal
from mtl_lightning.serve.schema import Schema


def test_a_request_opens_no_file_of_this_machine(tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.ones(2))

    class Reader:
        def predict(self, columns: Any, *_: Any) -> list[dict[str, Any]]:
            return [{"sum": float(numbers(value).sum())} for value in columns["features"]]

    found = outcomes(Reader(), {"features": [str(tmp_path / "secret.npy"), [1, 2]]}, None)
    assert [outcome.status for outcome in found] == [422, 200]
    assert "names a file, and a request can name none" in found[0].text
    assert numbers(str(tmp_path / "secret.npy")).sum() == 2
    with pytest.raises(UserError, match=r"gone\.npy is not there"):
        numbers("gone.npy")


class Decodes:
    """Stands for a model of sounds and images: reads what a request gives as ``text``, as one of these."""

    def __init__(self, inputs: SoundInputs | ImageInputs) -> None:
        self.inputs = inputs

    def predict(self, columns: Any, *_: Any) -> list[dict[str, Any]]:
        (name,) = self.inputs.files
        read = self.inputs.encode({name: columns["text"]})[name]
        examples = [{name: each} for each in read]
        return [{"mood": list(each.shape)} for each in self.inputs.collate(examples)[name]]


def sound(samples: int, rate: int = 16_000, channels: int = 1) -> str:
    file = BytesIO()
    soundfile.write(file, np.zeros((samples, channels), np.int16), rate, format="FLAC")
    return base64.b64encode(file.getvalue()).decode()


def drawing(width: int, height: int) -> str:
    file = BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_sound_of_a_few_kilobytes_that_would_fill_the_memory_is_refused(folder: Path) -> None:
    server = InProcess(folder, batch_wait=0.0, max_samples=20_000)
    server.model = Decodes(SoundInputs(16_000))
    long, slow, wide = sound(3_000_000), sound(8_000, rate=1_000), sound(10_000, channels=4)
    assert len(long) < 20_000
    asked = [long, slow, wide, sound(16_000), sound(9_000, channels=2)]
    answers = [server.predict(text=each) for each in asked]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 200, 200]
    said = [answer.json()["error"] for answer in answers[:3]]
    assert ["3,000,000" in said[0], "128,000" in said[1], "40,000" in said[2]] == [True] * 3
    assert all("at most 20,000 are decoded (--max_samples)" in each for each in said)
    assert answers[0].json()["field"] == "text"


def test_what_says_more_of_a_sound_may_be_left_out() -> None:
    part = frozenset({"sound", "sound_start", "sound_length"})
    catalogue = Catalogue({"digit": {}}, [(part, ["digit"])], optional=Recordings.optional)
    read = Schema(catalogue, max_text=100, max_inputs=2).read
    for given in ({"sound": "UklGRg=="}, {"sound": "UklGRg==", "sound_length": 80}):
        assert read(json.dumps({"inputs": given}).encode()).examples == [given]
    with pytest.raises(Refusal, match="the model reads 'sound', 'sound_length', 'sound_start'"):
        read(json.dumps({"inputs": {"sound_start": 4}}).encode())


def test_an_image_of_a_few_kilobytes_that_would_fill_the_memory_is_refused(folder: Path) -> None:
    server = InProcess(folder, batch_wait=0.0, max_pixels=10_000)
    server.model = Decodes(ImageInputs((8, 8)))
    answers = [server.predict(text=drawing(*size)) for size in ((2_000, 3_000), (100, 100))]
    assert [answer.status_code for answer in answers] == [422, 200]
    assert "6,000,000 pixels, at most 10,000 are decoded (--max_pixels)" in answers[0].json()["error"]
    assert checked(base64.b64decode(drawing(200, 300)), 3) == [300, 200]  # limits are those of requests


def test_a_file_is_as_long_as_a_request_may_be(folder: Path) -> None:
    server = InProcess(folder, max_text=10)
    catalogue = replace(server.spec.schema.catalogue, files=frozenset({"text"}))
    read = Schema(catalogue, max_text=10, max_inputs=1).read
    assert read(json.dumps({"inputs": {"text": "a" * 50}}).encode()).examples == [{"text": "a" * 50}]
    with pytest.raises(Refusal, match="--max_text"):
        server.spec.schema.read(json.dumps({"inputs": {"text": "a" * 50}}).encode())


def test_what_an_example_of_several_kinds_lacks_is_null() -> None:
    both = frozenset({"text", "image"})
    read = Schema(Catalogue({"kind": {}}, [(both, ["kind"])], may_lack=both), max_text=100, max_inputs=2).read
    assert read(b'{"inputs": {"text": "a", "image": null}}').examples == [{"text": "a", "image": None}]
    with pytest.raises(Refusal, match="found 'text'; what an example lacks is null"):
        read(b'{"inputs": {"text": "a"}}')
    with pytest.raises(Refusal, match="is null; give it a value"):
        read(b'{"inputs": {"text": null}}')
