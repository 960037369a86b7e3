"""Data sets in archives and folders of NumPy arrays."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_lightning.array_files import from_file
from mtl_lightning.data import NpyFolderSource, NpzSource
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.encoders import TensorProcessor
from mtl_lightning.errors import UserError

INPUTS, LABELS = {"image": "rgb"}, {"depth": "mm", "kind": "kind", "mask": "mask"}


def archive(path: Path, **more: Any) -> Path:
    files = []
    for grey in (0, 255):
        file = io.BytesIO()
        Image.new("RGB", (6, 4), (grey, grey, grey)).save(file, "JPEG")
        files.append(file.getvalue())
    mask = np.arange(2 * 4 * 6).reshape(2, 4, 6)
    jpegs = np.frombuffer(b"".join(files), np.uint8)
    ends = np.cumsum([0, *map(len, files)])
    arrays = {"rgb_jpeg": jpegs, "rgb_offsets": ends, "mm": mask.astype(np.uint16), "mask": mask, "kind": ["a", "b"]}
    np.savez(path, **{**arrays, **more})
    return path


def test_an_archive_is_a_table(tmp_path: Path) -> None:
    archive(tmp_path / "a.npz")
    source = NpzSource({"train": "a.npz"}, INPUTS, LABELS, root=str(tmp_path), scale={"mm": 0.001}, size=(2, 3))
    rows = source.load()["train"].to_list()
    assert [row["kind"] for row in rows] == ["a", "b"]
    image, depth, mask = (from_file(rows[1][name]) for name in ("rgb", "mm", "mask"))
    assert image.shape == (3, 2, 3) and image.min() == 1 and from_file(rows[0]["rgb"]).max() == 0
    np.testing.assert_array_equal(mask, [[31, 33, 35], [43, 45, 47]])
    np.testing.assert_allclose(depth, mask / 1000, rtol=1e-6)
    assert source.describe("train", 1) == f"{tmp_path / 'a.npz'}, example 2"


def test_numbers_may_stand_for_names_and_some_examples_may_be_chosen(tmp_path: Path) -> None:
    archive(tmp_path / "a.npz", kind=[1, 0], kinds=["cat", "dog"])
    given: dict[str, Any] = {"inputs": INPUTS, "labels": LABELS, "root": str(tmp_path), "names": {"kind": "kinds"}}
    both = NpzSource({"train": "a.npz"}, **given).load()["train"]
    assert both["kind"][:] == ["dog", "cat"]
    only = NpzSource({"train": "a.npz"}, **given, only={"train": {"kind": ["cat"]}}).load()["train"]
    assert only["kind"][:] == ["cat"]
    assert only["mask"][0] == both["mask"][1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"names": {"kind": "kinds"}}, "`names.kind`: .*a.npz has values other than the numbers 0 to 1"),
        ({"names": {"mm": "none"}}, "`names.mm`: .*a.npz has no array 'none'"),
        ({"only": {"train": {"kind": ["c"]}}}, "`only.kind`: no example of .*a.npz has 'c'; it has a, b"),
        ({"only": {"train": {"age": [1]}}}, "`only`: .*a.npz has no array 'age'"),
        ({"only": {"tran": {}}}, "`only` has the unknown split 'tran'; did you mean 'train'?"),
    ],
)
def test_names_and_choices_that_the_archive_does_not_have_are_refused(more: Any, message: str, tmp_path: Path) -> None:
    archive(tmp_path / "a.npz", kinds=["cat", "dog"])
    with pytest.raises(UserError, match=message):
        NpzSource({"train": "a.npz"}, INPUTS, LABELS, root=str(tmp_path), **more).load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "a.npz cannot be read"),
        (None, "no file .*a.npz"),
        ("jpeg", "a.npz: the image is none that can be read"),
    ],
)
def test_a_bad_archive_is_one_line(content: Any, message: str, tmp_path: Path) -> None:
    if isinstance(content, bytes):
        (tmp_path / "a.npz").write_bytes(content)
    elif content:
        archive(tmp_path / "a.npz", rgb_jpeg=np.zeros(9, np.uint8), rgb_offsets=[0, 4, 9])
    with pytest.raises(UserError, match=message):
        NpzSource({"train": "a.npz"}, INPUTS, LABELS, root=str(tmp_path)).load()


def test_a_folder_of_files_is_a_column(tmp_path: Path) -> None:
    for name in ("10", "2"):
        for column in ("image", "depth"):
            (tmp_path / "train" / column).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "train" / column / f"{name}.npy", np.full((2, 3), int(name)))
    (tmp_path / "train" / "depth" / "2.npy").unlink()
    source = NpyFolderSource({"train": "train"}, {"image": "image"}, {"depth": "depth"}, root=str(tmp_path))
    first, second = source.load()["train"].to_list()
    assert first == {"image": str(tmp_path / "train" / "image" / "2.npy"), "depth": None}
    assert from_file(second["depth"])[0, 0] == 10
    assert source.describe("train", 1) == f"{tmp_path / 'train'}, example 10"
    with pytest.raises(UserError, match=r"imag holds no .npy files and no images; did you mean 'image'\?"):
        NpyFolderSource({"train": "train"}, {"image": "imag"}, {}, root=str(tmp_path)).load()
    with pytest.raises(UserError, match=r"no folder .*; it comes from the moon: name another one as `root`"):
        NpyFolderSource({"train": "t"}, {"image": "image"}, {}, str(tmp_path), "the moon").check_files()


def test_what_is_encoded_of_files_follows_them(tmp_path: Path) -> None:
    (tmp_path / "train" / "f").mkdir(parents=True)
    file = tmp_path / "train" / "f" / "1.npy"
    source = NpyFolderSource({"train": "train"}, {"features": "f"}, {"x": "y"}, root=str(tmp_path))
    np.save(file, np.ones(2))
    table = source.load()["train"]
    for number in (1, 2):
        np.save(file, np.full(2, number))
        os.utime(file, ns=(number, number))
        encoded = Encoding("d", source, TensorProcessor("features", ndim=1), {})(table, "train", labelled=False)
        assert encoded["inputs/features"][:].tolist() == [[number, number]]
