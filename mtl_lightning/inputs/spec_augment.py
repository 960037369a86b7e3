"""Random masks on training spectrograms."""

from collections.abc import Sequence

import numpy as np

from mtl_lightning.errors import UserError


class SpecAugment:
    """Masks random bands and random frames of training spectrograms, which are 0 then: the mean of normalised ones.

    What is drawn for an example follows from the run's seed, the epoch and the number of the example.

    Reference: Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition"
    (Interspeech 2019), section 2, without the warping of time.

    Args:
        freq_mask_param: F, up to how many bands a mask covers.
        time_mask_param: T, up to how many frames a mask covers.
        num_masks: How many masks of either kind.
        p: Up to which share of an example's frames a mask covers.
    """

    def __init__(self, freq_mask_param: int = 8, time_mask_param: int = 16, num_masks: int = 1, p: float = 0.3) -> None:
        if min(freq_mask_param, time_mask_param) < 0 or num_masks < 1 or not 0 <= p <= 1:
            raise UserError(
                "`freq_mask_param` and `time_mask_param` must be at least 0, `num_masks` at least 1 and `p` from 0 to "
                f"1, found {freq_mask_param}, {time_mask_param}, {num_masks} and {p:g}"
            )
        self.freq_mask_param = freq_mask_param
        self.time_mask_param = time_mask_param
        self.num_masks = num_masks
        self.p = p

    def __call__(self, spectrogram: np.ndarray, key: Sequence[int]) -> np.ndarray:
        """A spectrogram [T, num_mels] with masks.

        Args:
            spectrogram: Normalised.
            key: Of random numbers, see :meth:`.InputProcessor.varied`.
        """
        draw, masked = np.random.default_rng(list(key)), spectrogram.copy()
        frames, bands = masked.shape
        for _ in range(self.num_masks):
            for axis, size, most in (
                (0, frames, min(self.time_mask_param, int(self.p * frames))),
                (1, bands, self.freq_mask_param),
            ):
                width = int(draw.integers(0, min(most, size) + 1))
                first = int(draw.integers(0, size - width + 1))
                masked[(slice(None),) * axis + (slice(first, first + width),)] = 0
        return masked
