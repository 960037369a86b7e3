"""Images: what is read of files, and which are refused."""

import base64
import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from images import file_of, pixels
from PIL import Image

from mtl_lightning.array_files import packed
from mtl_lightning.data.file_states import state_of
from mtl_lightning.decoding.from_state import made
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.arrays import ArrayInputs
from mtl_lightning.inputs.images import ImageInputs

RED = np.full((4, 4, 3), (255, 0, 0), np.uint8)


def read(value: Any, **settings: Any) -> np.ndarray:
    """What a model reads of one image [H, W, C], in 0 to 255."""
    inputs = ImageInputs(**{"size": (8, 6), "mean": [0.0], "std": [1.0], **settings})
    encoded = inputs.encode({"image": [value]})["image"]
    (found,) = inputs.collate([{"image": encoded[0]}])["image"]
    return np.moveaxis(found, 0, -1) * 255


def close_to(value: Any) -> Any:
    return pytest.approx(np.asarray(value, np.float64), abs=0.01)


def test_a_path_bytes_base64_an_array_and_an_object_give_the_same_pixels(tmp_path: Path) -> None:
    image = pixels()
    content = file_of(image)
    (tmp_path / "a.png").write_bytes(content)
    text = base64.b64encode(content).decode()
    ways: list[Any] = [tmp_path / "a.png", content, text, f"data:image/png;base64,{text}", Image.fromarray(image)]
    ways += [image, image.tolist()]
    ways += [np.moveaxis(image, -1, 0), {"bytes": content, "path": None}, {"bytes": None, "path": tmp_path / "a.png"}]
    for way in ways:
        assert read(way) == close_to(image)


@pytest.mark.parametrize("value", ["a.JPG", b"text", {"bytes": b"", "path": "a.jpg"}])
def test_an_encoder_that_reads_arrays_says_how_to_read_files(value: Any) -> None:
    with pytest.raises(UserError, match="to read image files, set `images` on the encoder"):
        ArrayInputs("image", 3, 3).encode({"image": [value]})


def test_pixels_are_normalised_by_channel() -> None:
    inputs = ImageInputs((4, 4), mean=[0.5, 0.25, 0.0], std=[0.5, 0.25, 2.0])
    (found,) = inputs.collate([{"image": inputs.encode({"image": [RED]})["image"][0]}])["image"]
    assert found.dtype == np.float32
    assert found[:, 0, 0].tolist() == [1.0, -1.0, 0.0]


def test_what_an_export_keeps_makes_the_same_reader() -> None:
    state = json.loads(json.dumps(ImageInputs((4, 5), mean=[0.5, 0.25, 0.0], std=[0.5, 0.25, 2.0]).state()))
    assert made(ImageInputs, state).state() == state
    for broken in ({"size": [4]}, {"size": [0, 4]}, {"channels": 2}, {"mean": [0.5, 0.5]}):
        with pytest.raises(UserError, match="images have"):
            made(ImageInputs, {**state, **broken})


def test_grey_palette_transparent_16_bit_and_cmyk_images_become_8_bit_colours() -> None:
    grey = pixels(channels=1)
    assert read(file_of(grey)) == close_to(np.stack([grey] * 3, -1))
    assert read(file_of(grey.astype(np.uint16) * 257)) == close_to(np.stack([grey] * 3, -1))
    assert read(file_of(RED), size=(4, 4), channels=1)[0, 0] == close_to([76])
    palette = Image.fromarray(RED).convert("P")
    assert read(file_of(palette), size=(4, 4)) == close_to(RED)
    clear = np.concatenate([RED, np.zeros((4, 4, 1), np.uint8)], -1)
    assert read(file_of(clear), size=(4, 4)) == close_to(np.full((4, 4, 3), 255))
    cmyk = Image.fromarray(RED).convert("CMYK")
    assert np.abs(read(file_of(cmyk, "JPEG", quality=100), size=(4, 4)) - RED).max() < 8


def test_the_rotation_that_a_camera_noted_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image = pixels(height=6, width=8)
    assert read(file_of(image, exif=exif)) == close_to(np.rot90(image, -1))


@pytest.mark.parametrize(
    ("fit", "columns"),
    [("crop", [1, 1, 1, 1]), ("stretch", [0, 1, 1, 2]), ("pad", None)],
)
def test_an_image_of_another_shape_is_made_to_fit(fit: Any, columns: list[int] | None) -> None:
    thirds = np.repeat(np.array([0, 100, 200], np.uint8), 4)[None].repeat(4, 0)
    found = read(thirds, size=(4, 4), channels=1, fit=fit, interpolation="nearest")[..., 0]
    if columns is not None:
        assert (found / 100).round().astype(int).tolist() == [columns] * 4
    else:
        assert (found == 255).all(1).tolist() == [True, True, False, True], "the image is one row high then"


def test_the_middle_is_kept_of_what_is_cropped() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[2:6, 2:6] = 200
    found = read(image, size=(4, 4), channels=1, crop_fraction=0.5)
    assert found == close_to(np.full((4, 4, 1), 200))


BROKEN: dict[str, tuple[Any, str]] = {
    "cut off": (file_of(pixels(), "JPEG")[:-80], "the image is broken: .*; get it again"),
    "a hole": (file_of(pixels())[:60] + b"\0" * 20 + file_of(pixels())[80:], "the image is broken"),
    "no image": (b"some text", "the image is none that can be read; save it as JPEG or PNG"),
    "empty": (b"", "the image is an empty file; get it again"),
    "not fetched": (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS, .* by `git lfs pull`"),
    "32 bits": (file_of(Image.new("F", (2, 2)), "TIFF"), "32 bits a pixel; save it with 8 or 16"),
    "null": (None, "the image is missing"),
    "no text": ("  ", "the image is missing"),
    "a path as a text": ("cat.jpg", "a text must be an image file in base64, found 'cat.jpg'; give a path as a"),
    "too bright": (np.full((2, 2), 256), "whole numbers from 0 to 255"),
    "between": (np.full((2, 2), 0.5), "whole numbers from 0 to 255"),
    "shape": (np.zeros((2, 2, 2)), r"of 1, 3 or 4 channels, found \(2, 2, 2\)"),
    "columns": ((b"", b""), "input 'image' is one column, found 2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_image_is_refused_in_one_line(name: str) -> None:
    value, message = BROKEN[name]
    with pytest.raises(UserError, match=message):
        read(value)


def test_a_file_that_is_not_there_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "cats.png").write_bytes(file_of(RED))
    with pytest.raises(UserError, match=r"no file .*cat\.png; did you mean 'cats\.png'\?"):
        read(tmp_path / "cat.png")
    with pytest.raises(
        UserError, match=r"no file .*; addresses are not fetched: fetch the files, and give their paths"
    ):
        read(tmp_path / "https://a.org/a.png")
    with pytest.raises(UserError, match=r"image .* is a folder; give the path of a file"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"there is no folder .*none; name the one that paths start from as `root`"):
        read(tmp_path / "none" / "cat.png")
    (tmp_path / "link.png").symlink_to("moved.png")
    for name in ("a" * 300, "a\0.png", "/".join(["A" * 60] * 100)):
        assert state_of(tmp_path / name) is None
        with pytest.raises(UserError, match=r"is no path of a file; a text in a table is a path: write contents to"):
            read(tmp_path / name)
    odd = {"file:///a.png": "without `file://`", "link.png": "is a link to moved.png, which is not there"}
    odd |= {" cats.png": "begins or ends with a blank", "a\\b.png": "write `/` between", "~/a.png": "not expanded"}
    for name, message in odd.items():
        with pytest.raises(UserError, match=f"no file .*; .*{message}"):
            read(tmp_path / name)


@pytest.mark.parametrize("most", [8 * 6 - 1, 8])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(most: int) -> None:
    with pytest.raises(UserError, match=rf"has 6 x 8 = 48 pixels, more than {most}"):
        read(file_of(pixels()), max_pixels=most)
    bomb = bytearray(file_of(Image.new("1", (8, 8))))
    bomb[16:24] = (100_000).to_bytes(4) * 2  # what its head says of its size
    bomb[29:33] = crc32(bomb[12:29]).to_bytes(4)
    with pytest.raises(UserError, match="pixels"):
        read(bytes(bomb))


def test_a_file_that_breaks_after_it_was_checked_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file_of(RED))
    inputs = ImageInputs((4, 4))
    encoded = inputs.encode({"image": [path]})["image"]
    path.write_bytes(file_of(RED)[:50])
    with pytest.raises(UserError, match=r"a\.png is broken"):
        inputs.collate([{"image": encoded[0]}])


def test_an_array_of_fractions_is_an_image(tmp_path: Path) -> None:
    found = np.random.default_rng(0).random((3, 5, 6)).astype(np.float32)
    np.save(tmp_path / "a.npy", found)
    inputs = ImageInputs((5, 6), mean=[0], std=[1])
    encoded = inputs.encode({"image": [packed(found), tmp_path / "a.npy"]})["image"]
    for image in inputs.collate([{"image": each} for each in encoded])["image"]:
        np.testing.assert_allclose(image, found, atol=0.5 / 255 + 1e-6)
