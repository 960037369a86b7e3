"""Tokens, pictures and pages, apart from any run."""

import re
import struct
import zlib
from base64 import b64decode
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mtl_lightning.__main__ import main
from mtl_lightning.data.one_step import Origin
from mtl_lightning.data.sources.digits import DigitPairs
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.shown import Mark, Numbers, Picture, Piece, Tokens
from mtl_lightning.encoders.shown_text import part_of_each, pieces_of, token_text
from mtl_lightning.inputs.cut_off import cut_off
from mtl_lightning.png import png
from mtl_lightning.show_batch.forms import bytes_of, smaller
from mtl_lightning.show_batch.page import page
from mtl_lightning.show_batch.screen import print_step
from mtl_lightning.show_batch.view import ExampleView, PartView, StepView, TaskView


def decoded(file: bytes) -> np.ndarray:
    """The pixels of a PNG as :func:`png` writes it; its check sums are checked."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        (size,) = struct.unpack(">I", file[at : at + 4])
        name, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        assert struct.unpack(">I", file[at + 8 + size : at + 12 + size]) == (zlib.crc32(name + data),)
        chunks[name], at = data, at + 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 8
    channels = {0: 1, 2: 3}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    assert not rows[:, 0].any(), "rows are not filtered"
    pixels = rows[:, 1:].reshape(height, width, channels)
    return pixels[..., 0] if channels == 1 else pixels


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 2, 3)], ids=str)
def test_png_holds_the_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(decoded(png(pixels)), pixels)


def test_pixels_are_scaled_from_black_to_white() -> None:
    assert bytes_of(np.array([[-1.0, 0.0], [0.5, 1.0]])).tolist() == [[0, 128], [191, 255]]
    assert bytes_of(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


def test_a_picture_becomes_smaller_by_means() -> None:
    small = smaller(np.arange(12.0).reshape(2, 6), width=3)
    assert small.tolist() == [[3.5, 5.5, 7.5]]
    assert smaller(np.ones((10, 65, 3)), width=32).shape == (4, 22, 3)


def byte_level() -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are bytes, and two words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", *alphabet, "Ġa"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


def test_bytes_are_said_as_characters() -> None:
    words = byte_level()
    ids = words("x a\né")["input_ids"]
    assert [token_text(words, index) for index in ids] == ["x", "▁a", "\n", "Ã", "©"]
    assert token_text(words, 0) == "<s>"


def test_pieces_know_words_special_tokens_and_padding() -> None:
    words = character_tokenizer()
    encoded = words(["ab", "c"], is_split_into_words=True)["input_ids"]
    found = pieces_of(words, [*encoded, 0], present=[1] * 5 + [0], starts=[1, 3, -1], read_at="first")
    assert [piece.text for piece in found] == ["[CLS]", "a", "b", "c", "[SEP]", "[PAD]"]
    marks = [Mark.SPECIAL, Mark.TEXT, Mark.CONTINUED, Mark.TEXT, Mark.SPECIAL, Mark.PADDING]
    assert [piece.mark for piece in found] == marks
    assert [piece.positions for piece in found] == [(), (0,), (), (1,), (), ()]
    at_their_ends = pieces_of(words, encoded, starts=[2, 3], read_at="last")
    assert [piece.mark for piece in at_their_ends] == marks[:5]
    assert [piece.positions for piece in at_their_ends] == [(), (), (0,), (1,), ()]


def test_parts_of_a_pack_restart_at_position_0() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])
    assert part_of_each({"position_ids": positions}, 0) == [0, 0, 0, 1, 1, 2]
    assert part_of_each({"position_ids": positions}, 1) == [0] * 6
    assert part_of_each({"token_type_ids": torch.tensor([[0, 1]])}, 0) == [0, 1]
    assert part_of_each({}, 0) is None


@pytest.mark.parametrize(
    ("side", "texts", "rest"),
    [
        ("right", ["abcdef"], ["ef"]),
        ("left", ["abcdef"], ["ab"]),
        ("right", ["ab", "cdef"], ["b", "def"]),
        ("right", ["ab"], [""]),
    ],
    ids=["right", "left", "pair", "fits"],
)
def test_what_is_cut_off(side: str, texts: list[str], rest: list[str]) -> None:
    words = character_tokenizer()
    words.truncation_side = side
    assert cut_off(words, 6 if len(texts) == 1 else 5, texts) == rest


class Page(HTMLParser):
    """Text and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def tokens(self, kind: str) -> int:
        return sum((attributes.get("class") or "") == f"token {kind}" for _, attributes in self.tags)


def step_of(*examples: ExampleView) -> StepView:
    part = PartView("d<b>", 2, 2, 4, 1, 0, [TaskView("t&t", "Kind", 3, None, None)], examples, {})
    return StepView("Step 1", ["note"], [part])


PIECES = [Piece("[CLS]", Mark.SPECIAL), Piece("<script>", positions=(0,)), Piece("b\x1b[1m", positions=(1,), part=1)]
EXAMPLE = ExampleView(1, Origin("a.jsonl, line 3"), [Tokens("text", PIECES)], {"t&t": [None, "x", "·"]}, {"u": None})


def test_a_page_escapes_what_comes_from_data() -> None:
    text = page(step_of(EXAMPLE))
    found = Page(text)
    assert not {"script", "b", "link", "iframe"} & {tag for tag, _ in found.tags}
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    counted = {kind: found.tokens(kind) for kind in ("trained", "special", "text")}
    assert counted == {"trained": 1 + 1, "special": 1 + 1, "text": 1 + 1}  # one each in the legend
    assert "column starts" in text


def test_a_terminal_shows_the_ends_of_packed_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_step(step_of(EXAMPLE))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["text", "[CLS]", "<script>", "│", "b\\x1b[1m"] in rows
    assert ["t&t", "x", "│", "·"] in rows
    assert ["u", "missing"] in rows
    assert ["t&t", "Kind", "3", *["no", "labels", "in", "this", "step", "found", "in", "training"]] in rows


def test_long_rows_are_broken_where_they_are_aligned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    pieces = [Piece(f"w{i}" * (1 + i % 3), positions=(i,)) for i in range(30)]
    tags: list[str | None] = [f"T{i}" for i in range(30)]
    print_step(step_of(ExampleView(1, Origin("x"), [Tokens("text", pieces)], {"t": tags}, {})))
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert max(map(len, rows)) <= 40
    assert [tag for row in rows if row.split()[0] == "t" for tag in row.split()[1:]] == tags
    for words, below in pairwise(rows):
        if words.split()[0] == "text":
            starts = [[m.start() for m in re.finditer(r"\S+", row[4:])] for row in (words, below)]
            assert starts[0][1:] == starts[1][1:]


def test_colours_and_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    colours = np.zeros((2, 2, 3))
    colours[0, 0] = 1
    inputs = [Picture("image", colours), Numbers("array", np.arange(100.0).reshape(4, 25))]
    example = ExampleView(1, Origin("x"), inputs, {}, {})
    print_step(step_of(example))
    printed = capsys.readouterr().out
    assert "██" in printed
    assert "(100 numbers of shape 4 by 25, from 0 to 99)" in printed
    data = re.findall(r"base64,([^\"]+)", page(step_of(example)))
    assert decoded(b64decode(data[0])).tolist() == [[[255] * 3, [0] * 3], [[0] * 3, [0] * 3]]


def test_an_image_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    tasks = {"left": "SequenceClassification", "sum": "Regression"}
    sizes = {"train": 12, "val": 4, "test": 4}
    config: dict[str, Any] = {
        **tiny.CONFIG,
        "model": {"encoder": {"class_path": "ConvolutionalEncoder", "init_args": {"channels": [2]}}, "tasks": tasks},
        "data": {"datasets": {"d": {"class_path": "DigitPairs", "init_args": sizes}}, "tasks": [*tasks]},
    }
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(config))
    assert main(["show-batch", "--config", "digits.yaml", "--examples=2", "--html=pages/a.html"]) == 0
    printed, text = capsys.readouterr().out, (tmp_path / "pages" / "a.html").read_text()
    assert printed.endswith("Page: pages/a.html\n")
    rows = [int(row) - 1 for row in re.findall(r"split 'train', row (\d+)", unescape(text))]
    images = [DigitPairs(**sizes).load()["train"].with_format("numpy")[row]["image"] for row in rows]
    drawn = [decoded(b64decode(data)) for data in re.findall(r"base64,([^\"]+)", text)]
    assert len(drawn) == 2
    for pixels, image in zip(drawn, images, strict=True):
        assert np.abs(pixels / 255 - image[0] / image.max()).max() < 1 / 255
    assert "tokens" not in printed.partition("task")[0]


def test_words_have_numbers_where_labels_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [Piece("a", positions=(0,)), Piece("##b"), Piece("c", positions=(1,))]
    example = ExampleView(1, Origin("x"), [Tokens("tokens", pieces)], {}, {"r": "words 1 to 2"}, ["1", None, "2"])
    print_step(step_of(example))
    rows = capsys.readouterr().out.splitlines()
    (tokens,) = (row for row in rows if row.startswith("    tokens"))
    (numbers,) = (row for row in rows if row.startswith("    word "))
    assert numbers.split() == ["word", "1", "2"]
    assert [numbers.index(each) for each in "12"] == [tokens.index(" a") + 1, tokens.index(" c") + 1]
    assert "<span>2</span>" in page(step_of(example))


def test_what_stands_below_tokens_is_that_of_the_first_text(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [Tokens("text", [Piece("a", positions=(0,)), Piece("b")]), Tokens("text", [Piece("c", positions=(0,))])]
    print_step(step_of(ExampleView(1, Origin("x"), texts, {"t": ["T", None]}, {})))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows.index(["text", "c"]) == rows.index(["t", "T"]) + 1
