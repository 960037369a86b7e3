"""The conversions of recipes whose sources are recordings and images, each on a few made-up ones in its format."""

import io
import json
import sys
import tarfile
import wave
import zipfile
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.data.contents import DAMAGED, content_sha256, gzipped
from experiments.data.needs import need
from experiments.data.recipes import emoji2, fsdd, omniglot_small, rooms
from experiments.data.scenes import CLASSES
from mtl_lightning.errors import UserError


def png(mode: str, side: int, color: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), color).save(file, "PNG")
    return file.getvalue()


def record(path: Path, samples: list[int], rate: int = 8000) -> None:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.array(samples, "<i2").tobytes())


def test_fsdd_joins_a_speakers_recordings_and_says_where_each_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = SimpleNamespace(write=lambda file, samples, rate, **_: file.write(samples.tobytes()))
    monkeypatch.setitem(sys.modules, "soundfile", written)
    for path in fsdd.RECIPE.sources[0].files:
        digit, _, index = Path(path).stem.split("_")
        record(tmp_path / path, [int(digit)] * (1 + int(index)))
    made = dict(fsdd.convert(tmp_path))
    assert list(made) == list(fsdd.RECIPE.files)
    samples = np.frombuffer(made["theo.flac"], np.int16)
    header, *rows = (line.split("\t") for line in made["index.tsv"].decode().splitlines())
    assert header == ["speaker", "digit", "index", "start", "length", "split"] and len(rows) == 800
    assert rows[:2] == [["george", "0", "0", "0", "1", "test"], ["george", "0", "1", "1", "2", "test"]]
    for speaker, digit, index, start, length, _ in rows[-200:]:
        there = samples[int(start) : int(start) + int(length)]
        assert speaker == "theo" and there.tolist() == [int(digit)] * (1 + int(index))
    assert [fsdd.split(index) for index in (0, 4, 5, 6, 7, 19)] == ["test", "test", "dev", "dev", "train", "train"]


def test_fsdd_takes_recordings_of_one_kind_alone(tmp_path: Path) -> None:
    record(tmp_path / "recordings/0_george_0.wav", [1], rate=16000)
    with pytest.raises(ValueError, match=r"0_george_0.wav: expected .* found \(1, 2, 16000\)"):
        next(fsdd.convert(tmp_path))


def test_omniglot_sorts_by_alphabet_character_and_drawer(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    shown = {"Greek/character02/0002_01": 1, "Greek/character01/0001_02": 0, "Balinese/character01/0003_11": 1}
    for name in ("small1", "small2"):
        with zipfile.ZipFile(tmp_path / f"python/images_background_{name}.zip", "w") as archive:
            archive.writestr(f"images_background_{name}/Greek/", "")
            for path, color in shown.items():
                archive.writestr(f"images_background_{name}/{path}.png", png("1", 105, color))
    made = dict(omniglot_small.convert(tmp_path))
    assert list(made) == list(omniglot_small.RECIPE.files)
    arrays = np.load(io.BytesIO(made["small1.npz"]))
    assert arrays["images"].shape == (3, 28, 28) and arrays["images"].dtype == np.uint8
    assert [set(image.flat) for image in arrays["images"]] == [{0}, {255}, {0}]
    assert arrays["alphabet"].tolist() == [0, 1, 1] and arrays["alphabet_names"].tolist() == ["Balinese", "Greek"]
    assert arrays["character"].tolist() == [0, 1, 2] and arrays["drawer"].tolist() == [11, 2, 1]
    assert arrays["character_names"].tolist() == ["Balinese/character01", "Greek/character01", "Greek/character02"]


EMOJI = [
    {"unified": "1F3FB", "image": "1f3fb.png", "short_name": "tone", "category": "Component", "subcategory": "tone"},
    {"unified": "1F44B", "image": "1f44b.png", "short_name": "wave", "category": "People", "subcategory": "hand"}
    | {"skin_variations": {}},
    {"unified": "1F400", "image": "1f400.png", "short_name": "rat", "category": "Animals", "subcategory": "mammal"},
]


def package(folder: Path, style: str) -> None:
    drawn = {"google": (255, 0, 0, 255), "twitter": (0, 0, 255, 255)}[style]
    files = {
        "emoji.json": json.dumps(EMOJI).encode(),
        f"img/{style}/64/1f44b.png": png("RGBA", 64, drawn),
        f"img/{style}/64/1f400.png": png("RGBA", 64, (0, 0, 0, 0)),
        f"img/{style}/sheets/32.png": b"no image",
    }
    with tarfile.open(folder / f"emoji-datasource-{style}-16.0.0.tgz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_emoji2_draws_both_styles_in_the_order_of_one_table(tmp_path: Path) -> None:
    for style in emoji2.STYLES:
        package(tmp_path, style)
    made = dict(emoji2.convert(tmp_path, tmp_path))
    assert list(made) == list(emoji2.RECIPE.files)
    assert made["labels.tsv"].decode().splitlines() == [
        "index\temoji\tname\thas_skin_tones\tgroup\tsubgroup\tsplit",
        f"0\t1f44b\twave\t1\tPeople\thand\t{emoji2.split('1F44B')}",
        f"1\t1f400\trat\t0\tAnimals\tmammal\t{emoji2.split('1F400')}",
    ]
    for style, color in {"google": [254, 0, 0], "twitter": [0, 0, 254]}.items():
        with Image.open(io.BytesIO(made[f"{style}.jpg"])) as mosaic:
            tiles = np.asarray(mosaic)
        assert tiles.shape == (32, 64 * 32, 3)
        np.testing.assert_allclose(tiles[:, :32].mean((0, 1)), color, atol=2)
        assert (tiles[:, 32:] == 255).all()


def test_emoji2_splits_by_code_points() -> None:
    assert [emoji2.split(points) for points in ("0023-FE0F-20E3", "002A-FE0F-20E3", "1F400")] == [
        "train",
        "dev",
        "test",
    ]


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match="needs soundfile; `pip install soundfile`"):
        need("soundfile")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UserError, match="needs Pillow; `pip install Pillow`"):
        need("PIL.Image", "Pillow")


def zipped(method: int, arrays: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_the_content_of_arrays_is_not_how_they_are_compressed() -> None:
    arrays = {"images.npy": b"0" * 99, "names.npy": b"1"}
    stored, deflated = (zipped(method, arrays) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    assert stored != deflated and content_sha256("a.npz", stored) == content_sha256("a.npz", deflated)
    assert content_sha256("a.npz", stored) != content_sha256("a.npz", zipped(0, {**arrays, "names.npy": b"2"}))


def test_the_content_of_a_recording_is_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.array([1, -2], ">i2")
    monkeypatch.setitem(sys.modules, "soundfile", SimpleNamespace(read=lambda file, dtype: (samples, 8000)))
    assert content_sha256("a.flac", b"fLaC") == content_sha256("a", b"\1\0\xfe\xff")


def changed(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        pytest.param("a.gz", gzipped(b"text" * 99)[:-9], id="cut gzip"),
        pytest.param("a.gz", changed(gzipped(b"text" * 99), 15), id="changed gzip"),
        pytest.param("a.gz", b"text", id="no gzip"),
        pytest.param("a.npz", zipped(8, {"a": b"text" * 99})[:-9], id="cut archive"),
        pytest.param("a.npz", changed(zipped(0, {"a": b"text" * 99}), 50), id="changed archive"),
    ],
)
def test_a_file_that_is_damaged_is_said_to_be(name: str, damaged: bytes) -> None:
    with pytest.raises(DAMAGED):
        content_sha256(name, damaged)


def test_rooms_are_seen_alike_in_colours_classes_depth_and_normals() -> None:
    made = {name: np.load(io.BytesIO(content)) for name, content in rooms.convert({"train": 6, "test": 2})}
    assert list(made) == ["train.npz", "test.npz"]
    assert list(rooms.RECIPE.files) == ["train.npz", "dev.npz", "test.npz"]
    train = made["train.npz"]
    offsets, content = train["rgb_offsets"], train["rgb_jpeg"].tobytes()
    images = [Image.open(io.BytesIO(content[a:b])) for a, b in pairwise(offsets)]
    assert {image.size for image in images} == {(96, 72)} and len(images) == 6
    classes, depth, normal = train["seg"], train["depth_4mm"] * 0.004, train["normal"] / 63
    assert set(np.unique(classes)) >= {0, 1, 2} and classes.max() < len(CLASSES) == len(train["class_names"])
    assert depth.min() > 0.1 and depth.max() < 12
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1, atol=0.03)
    y, x = np.mgrid[:72, :96]
    rays = np.stack([(x + 0.5 - 48) / 64, (36 - y - 0.5) / 64, np.ones((72, 96))], -1)
    assert ((normal * rays).sum(-1) < 0.06).all(), "surfaces face the camera"
    points = rays * depth[..., None]
    floor = classes == 1
    for scene in range(6):  # of a plane, normal times point is one number
        heights = (points[scene] * np.median(normal[scene][floor[scene]], axis=0)).sum(-1)[floor[scene]]
        assert np.ptp(heights) < 0.15 and -1.8 < heights.mean() < -1.1, "the floor is flat, and below the eye"
    assert not np.array_equal(made["test.npz"]["seg"][0], classes[0])
