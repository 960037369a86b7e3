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

IMAGE = pixels(height=16, width=12)


def changed(augmentation: Augmentation, image: np.ndarray = IMAGE, seed: int = 0, nearest: bool = False) -> np.ndarray:
    height, width = image.shape[:2]
    change = augmentation.drawn(np.random.default_rng(seed), (width, height), (width, height))
    return image if change is None else np.asarray(change(Image.fromarray(image), nearest))


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
    turned = changed(RandomAffine(degrees=180, scale=(2.0, 2.0)), dot, nearest=True)
    assert np.argwhere(turned).mean(0) == pytest.approx([16, 16], abs=0.6)
    assert (turned > 0).sum() == pytest.approx(4, abs=2)
    shifted = changed(RandomAffine(translate=(0.2, 0.0), fill=7), dot)
    row, column = np.argwhere(shifted == shifted.max())[0]
    assert row == 16 and 0 < abs(column - 16) <= 0.2 * 33
    assert 7 in shifted[:, [0, -1]]


def test_a_mask_takes_the_nearest_pixel_and_zero_where_it_ends() -> None:
    mask = np.kron(np.array([[10, 200], [77, 30]], np.uint8), np.ones((8, 8), np.uint8))
    found = changed(RandomAffine(scale=(0.7, 0.7), degrees=40, fill=255), mask, seed=1, nearest=True)
    assert set(np.unique(found)) == {0, 10, 30, 77, 200}


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
