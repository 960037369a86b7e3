"""Random changes of images."""

from typing import Any

import numpy as np
import pytest
from images import pixels
from PIL import Image

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.augmentation import (
    Augmentation,
    ColorJitter,
    RandomAffine,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
)
from mtl_lightning.inputs.movement import changed_array, drawn, movement

IMAGE = pixels(height=16, width=12)


def changed(augmentation: Augmentation, image: np.ndarray = IMAGE, seed: int = 0, nearest: bool = False) -> np.ndarray:
    height, width = image.shape[:2]
    change = augmentation.drawn(np.random.default_rng(seed), (width, height), (width, height))
    return image if change is None else np.asarray(change(Image.fromarray(image), nearest))


def moved(augmentation: Augmentation, label: np.ndarray, missing: float = -1, seed: int = 0) -> np.ndarray:
    height, width = label.shape[-2:]
    found = movement(drawn([augmentation], [seed], (width, height), (width, height)), (height, width))
    return label if found is None else found(label, missing)


def test_flips_mirror_as_often_as_they_are_told() -> None:
    assert (changed(RandomHorizontalFlip(1.0)) == IMAGE[:, ::-1]).all()
    assert (changed(RandomVerticalFlip(1.0)) == IMAGE[::-1]).all()
    flips = [(changed(RandomHorizontalFlip(0.3), seed=seed) != IMAGE).any() for seed in range(300)]
    assert 0.2 < np.mean(flips) < 0.4


def test_a_crop_takes_a_part_of_the_area_and_shape_that_were_asked_for() -> None:
    ramp = np.arange(64, dtype=np.uint8)[None].repeat(64, 0)
    for seed in range(30):
        rows, columns = (
            changed(RandomResizedCrop((0.25, 0.5), (0.5, 2.0)), image, seed).astype(float) for image in (ramp.T, ramp)
        )
        height, width = (float(np.ptp(each)) + 1 for each in (rows, columns))
        assert 0.2 < height * width / 64**2 < 0.55
        assert 0.4 < width / height < 2.5
    whole = RandomResizedCrop((1.0, 1.0), (1.0, 1.0))
    assert (changed(whole, ramp) == ramp).all()
    assert changed(whole, IMAGE).shape == IMAGE.shape, "no square has the area of an oblong: the middle is kept"


def test_an_affine_change_without_an_extent_changes_nothing() -> None:
    assert (changed(RandomAffine()) == IMAGE).all()


def test_an_affine_change_shifts_turns_and_scales_around_the_middle() -> None:
    dot = np.zeros((33, 33), np.uint8)
    dot[16, 16] = 255
    turned = moved(RandomAffine(degrees=180, scale=(2.0, 2.0)), dot, 0)
    assert np.argwhere(turned).mean(0) == pytest.approx([16, 16], abs=0.6)
    assert (turned > 0).sum() == pytest.approx(4, abs=2)
    shifted = changed(RandomAffine(translate=(0.2, 0.0), fill=7), dot)
    row, column = np.argwhere(shifted == shifted.max())[0]
    assert row == 16 and 0 < abs(column - 16) <= 0.2 * 33
    assert 7 in shifted[:, [0, -1]]


def test_a_label_takes_the_nearest_pixel_and_is_missing_where_the_image_ends() -> None:
    mask = np.kron(np.array([[10, 200], [77, 30]], np.int16), np.ones((8, 8), np.int16))
    shrunk = RandomAffine(scale=(0.7, 0.7), translate=(0.2, 0.2), fill=255)
    assert set(np.unique(moved(shrunk, mask))) == {-1, 10, 30, 77, 200}
    depth = moved(shrunk, mask.astype(np.float32)[None], np.nan)
    assert depth.shape == (1, 16, 16) and np.array_equal(np.isnan(depth[0]), moved(shrunk, mask) == -1)


@pytest.mark.parametrize(
    "augmentation", [RandomResizedCrop((0.2, 0.9), (0.5, 2.0)), RandomAffine(0, (0.3, 0.3), (0.7, 1.4))]
)
def test_labels_lie_where_the_image_lies(augmentation: Augmentation) -> None:
    rows, columns = np.mgrid[:40, :60]
    for seed in range(8):
        for ramp in (rows, columns):
            image = changed_array(
                (ramp[None] / 60).astype(np.float32), drawn([augmentation], [seed], (60, 40), (60, 40))
            )
            label = moved(augmentation, ramp.astype(np.int16), seed=seed)
            inside = label[5:-5, 5:-5] >= 5
            assert np.abs(image[0] * 60 - label)[5:-5, 5:-5][inside].max() < 1.6


def test_what_looks_larger_is_nearer_by_the_root_of_the_area() -> None:
    for seed in range(5):
        (crop,) = drawn([RandomResizedCrop((0.25, 0.25))], [seed], (64, 64), (32, 32))
        assert crop.zoom == pytest.approx(1) and crop.size == (32, 32), "half the side, in half the pixels"
        (factor,) = drawn([RandomAffine(scale=(1.5, 1.5))], [seed], (8, 8), (8, 8))
        assert factor.zoom == 1.5
    flips = [RandomHorizontalFlip(1.0), RandomVerticalFlip(1.0), RandomHorizontalFlip(1.0), ColorJitter(0.5)]
    found = movement(drawn(flips, [0], (3, 2), (3, 2)), (2, 3))
    assert found is not None and found.mirrored == (False, True)
    assert found(np.array([[1, 2, 3], [4, 5, 6]]), -1).tolist() == [[4, 5, 6], [1, 2, 3]]
    assert movement(drawn([ColorJitter(0.5)], [0], (3, 2), (3, 2)), (2, 3)) is None


def test_colours_of_numbers_change_alike_and_other_numbers_have_none() -> None:
    image = np.moveaxis(IMAGE.astype(np.float32), -1, 0) / 255
    changes = drawn([ColorJitter(0.5)], [0], (12, 16), (12, 16))
    wanted = np.asarray(changes[0](Image.fromarray(IMAGE)), np.float32) / 255
    np.testing.assert_allclose(changed_array(image, changes), np.moveaxis(wanted, -1, 0), atol=1e-6)
    for array in (image * 4, image - 1, image[:2]):
        with pytest.raises(UserError, match="`augment` changes colours, which are 1 or 3 channels from 0 to 1"):
            changed_array(array, changes)


def test_colours_change_and_places_do_not() -> None:
    assert (changed(ColorJitter()) == IMAGE).all()
    grey = np.full((4, 4, 3), 100, np.uint8)
    bright = changed(ColorJitter(brightness=0.5), grey)
    assert 50 <= bright.min() == bright.max() <= 150 and bright.max() != 100
    assert (changed(ColorJitter(saturation=0.9, hue=0.5), grey) == grey).all(), "grey has neither"
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    assert changed(ColorJitter(hue=0.5), red)[0, 0].argmax() in (0, 1, 2)
    assert (changed(ColorJitter(hue=0.5), red, seed=3) != red).any()
    one_channel = pixels(channels=1)
    assert changed(ColorJitter(0.5, 0.5, 0.5, 0.5), one_channel).shape == one_channel.shape
    assert (np.ptp(changed(RandomGrayscale(1.0)), axis=-1) == 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHorizontalFlip(1.5), "`p` must be from 0 to 1, found 1.5"),
        (lambda: RandomResizedCrop((0.5, 2.0)), "`scale` must be two numbers above 0 up to 1"),
        (lambda: RandomResizedCrop(ratio=(2.0, 1.0)), "`ratio` must be two numbers above 0, the smaller one first"),
        (lambda: RandomAffine(degrees=200), "`degrees`"),
        (lambda: RandomAffine(translate=(0.0, 2.0)), "`translate`"),
        (lambda: RandomAffine(fill=300), "`fill`"),
        (lambda: ColorJitter(contrast=-1), "`contrast` must be at least 0"),
        (lambda: ColorJitter(hue=0.6), "`hue` must be from 0 to 0.5"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
