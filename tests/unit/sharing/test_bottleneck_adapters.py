"""Bottleneck adapters: where they stand, what they add, and that what lies below runs once."""

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import BottleneckAdapters

TASKS = ["a", "b"]


def perceptron() -> tuple[Encoder, dict[str, Tensor]]:
    torch.manual_seed(0)
    return PerceptronEncoder(5, (8, 7, 6)).double(), {"features": torch.randn(4, 5).double()}


def trained(sharing: BottleneckAdapters) -> BottleneckAdapters:
    for parameter in sharing.parameters():
        nn.init.normal_(parameter, std=0.4)
    return sharing.double()


def test_at_the_start_every_task_reads_what_the_encoder_makes() -> None:
    encoder, inputs = perceptron()
    found = BottleneckAdapters(TASKS, encoder).double()(inputs, TASKS)
    assert all(torch.equal(found[task].pooled, encoder(inputs).pooled) for task in TASKS)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_task_reads_stages_with_its_own_between_them() -> None:
    encoder, inputs = perceptron()
    sharing = trained(BottleneckAdapters(TASKS, encoder, size=3, own_stages=2))
    for task in TASKS:
        state = encoder.stages[0](encoder.begin(inputs))
        for stage, own in zip(encoder.stages[1:], sharing.adapters[task], strict=True):
            hidden = stage(state).hidden
            narrow = nn.functional.gelu(hidden @ own.down.weight.T + own.down.bias)
            state = state._replace(hidden=hidden + narrow @ own.up.weight.T + own.up.bias)
        torch.testing.assert_close(sharing(inputs, TASKS)[task].pooled, state.hidden)


def test_each_position_of_an_image_is_adapted() -> None:
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6).double()
    sharing = trained(BottleneckAdapters(TASKS, encoder, size=3))
    assert [adapter.down.in_features for adapter in sharing.adapters["a"]] == list(encoder.widths[1:])
    state = encoder.stages[0](encoder.begin({"image": torch.randn(2, 2, 8, 8).double()}))
    own = sharing.adapters["a"][0]
    pixel = own(state).hidden[1, :, 2, 3]
    alone = own(state._replace(hidden=state.hidden[1:, :, 2, 3])).hidden[0]
    torch.testing.assert_close(pixel, alone)


def test_what_lies_below_the_first_runs_once() -> None:
    encoder, inputs = perceptron()
    calls = []
    for index in (0, 3, 6):
        encoder.layers[index].register_forward_hook(lambda *_, index=index: calls.append(index))
    BottleneckAdapters(TASKS, encoder).double()(inputs, TASKS)
    assert calls == [0, 3, 6, 3, 6]


def test_bad_options_are_one_line() -> None:
    with pytest.raises(UserError, match=r"model.sharing: `size` must be at least 1, found 0"):
        BottleneckAdapters(TASKS, perceptron()[0], size=0)
    with pytest.raises(UserError, match=r"model.sharing: `own_stages` must be from 1 to 3, found 0"):
        BottleneckAdapters(TASKS, perceptron()[0], own_stages=0)
