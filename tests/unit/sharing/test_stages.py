"""Which stages an option names, and a run through them."""

import pytest
import torch

from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing.stages import stage_numbers, stages_before, through


def test_through_all_stages_an_encoder_computes_what_it_does_whole() -> None:
    encoder, inputs = PerceptronEncoder(5, [4, 3, 6]), {"features": torch.randn(7, 5)}
    begun = encoder.begin(inputs)
    assert torch.equal(encoder.end(through(encoder.stages, begun)).pooled, encoder(inputs).pooled)  # type: ignore[arg-type]
    assert through([], begun) is begun


def test_stages_are_counted_from_either_end() -> None:
    encoder = PerceptronEncoder(5, [4, 3, 6])
    assert [stages_before("n", value, encoder) for value in (-3, -1, 0, 2, 3)] == [0, 2, 0, 2, 3]
    for value in (-4, 4):
        with pytest.raises(UserError, match=f"`n` is {value}, but PerceptronEncoder has 3 stages; choose from -3 to 3"):
            stages_before("n", value, encoder)


def test_numbers_are_put_in_order_from_the_first() -> None:
    encoder = PerceptronEncoder(5, [4, 3, 6])
    assert [stage_numbers("n", numbers, encoder) for numbers in (None, [-1, 1], [2])] == [(1, 2, 3), (1, 3), (2,)]
    for numbers in ([], [0], [4], [-4], [3, -1]):
        with pytest.raises(UserError, match="`n` must name some of the stages 1 to 3 of PerceptronEncoder, each once"):
            stage_numbers("n", numbers, encoder)
