"""Learned vectors that tell an encoder its task: neutral at first, exact where they act, and telling of the tasks."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import ConcatenatedEmbedding, FiLM, TaskEmbedding
from mtl_lightning.sharing.modulation import Modulation
from mtl_lightning.sharing.task_vectors import TaskVectors

TASKS = ["a", "b"]
BERT = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 9}
ALBERT = {**BERT, "model_type": "albert", "embedding_size": 6}
MODERNBERT = {**BERT, "model_type": "modernbert", "global_attn_every_n_layers": 2}
LLAMA = {**BERT, "model_type": "llama"}
WORDS = [["ab", "c"], ["d"], ["e", "fgh", "i"]]


def transformer(config: dict[str, Any] = BERT, **options: Any) -> TransformerEncoder:
    config = {"num_hidden_layers": 2, "max_position_embeddings": 12, **config}
    options = {"tokenizer": "characters:ascii", "max_length": 11, "dropout": 0.0, **options}
    return TransformerEncoder(config=config, **options)


def sentences(encoder: Encoder) -> dict[str, Tensor]:
    encoded = encoder.processor.encode({"tokens": WORDS})
    return encoder.processor.collate([{name: values[i] for name, values in encoded.items()} for i in range(len(WORDS))])


def normalised() -> Encoder:
    return ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6, batch_norm=True)


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "perceptron": lambda: PerceptronEncoder(5, [8, 7, 6]),
    "convolution": normalised,
    "transformer": transformer,
}


def inputs_of(encoder: Encoder) -> dict[str, Tensor]:
    if isinstance(encoder, TransformerEncoder):
        return sentences(encoder)
    return {"features": torch.randn(3, 5), "image": torch.randn(3, 2, 8, 8)}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[request.param]()


def randomise(made: TaskVectors) -> None:
    with torch.no_grad():
        for vector in made.vectors.values():
            vector.normal_()


def same(found: Any, wanted: Any) -> bool:
    pairs = [(found.pooled, wanted.pooled), (found.tokens, wanted.tokens)]
    return all(torch.equal(f, w) if w is not None else f is None for f, w in pairs)


NEUTRAL: dict[str, Callable[..., TaskVectors]] = {
    "added": TaskEmbedding,
    "concatenated": ConcatenatedEmbedding,
    "stages": FiLM,
    "norms": partial(FiLM, behind="norms"),
    "features": partial(FiLM, behind="features"),
}


@pytest.mark.parametrize("make", NEUTRAL.values(), ids=NEUTRAL)
def test_it_starts_as_hard_sharing(encoder: Encoder, make: Callable[..., TaskVectors]) -> None:
    inputs = inputs_of(encoder)
    if isinstance(encoder, PerceptronEncoder) and make is NEUTRAL["norms"]:
        with pytest.raises(UserError, match="PerceptronEncoder has no normalisation to modulate"):
            make(TASKS, encoder)
        return
    made = make(TASKS, encoder)
    found = made(inputs, TASKS)
    assert all(same(found[task], encoder(inputs)) for task in TASKS)
    randomise(made)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1
    found = made(inputs, TASKS)
    assert not any(same(found[task], encoder(inputs)) for task in TASKS)
    assert not same(found["a"], found["b"])


def test_behind_stages_it_scales_and_shifts_states(encoder: Encoder) -> None:
    made = FiLM(TASKS, encoder, stages=[1, -1], width=4)
    randomise(made)
    inputs, last = inputs_of(encoder), len(encoder.stages)
    state = encoder.begin(inputs)
    for number, stage in enumerate(encoder.stages, 1):
        state = stage(state)
        if number in (1, last):
            linear: Any = made.modulations[str(number)].modulate
            shape = [1] * state.hidden.dim()
            shape[encoder.channel_axis] = -1
            gamma, beta = (each(made.vectors["b"]).view(shape) for each in (linear.scale, linear.shift))
            state = state._replace(hidden=state.hidden * (1 + gamma) + beta)
    assert same(made(inputs, ["b"])["b"], encoder.end(state))


def test_behind_norms_it_changes_their_scale_and_shift() -> None:
    torch.manual_seed(0)
    encoder = transformer()
    made = FiLM(TASKS, encoder, behind="norms", stages=[2])
    randomise(made)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    changed = deepcopy(encoder)
    norms = [module for module in changed.stages[1].modules() if isinstance(module, nn.LayerNorm)]
    (step,) = made.modulations.values()
    assert len(norms) == 2
    with torch.no_grad():
        for norm, modulate in zip(norms, step.modulate, strict=True):  # type: ignore[call-overload]
            gamma, beta = 1 + modulate.scale(made.vectors["a"]), modulate.shift(made.vectors["a"])
            norm.weight.mul_(gamma)
            norm.bias.mul_(gamma).add_(beta)
    inputs = sentences(encoder)
    before = encoder(inputs)
    assert same(made(inputs, ["a"])["a"], changed(inputs))
    assert same(encoder(inputs), before), "the encoder has its own parameters again"


def test_half_precision_does_not_round_factors_to_one() -> None:
    torch.manual_seed(0)
    modulate, hidden, vector = Modulation(2, 3), torch.randn(4, 3), torch.full([2], 1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        found = modulate(hidden, vector)
    torch.testing.assert_close(
        found, hidden * (1 + modulate.scale(vector)) + modulate.shift(vector), rtol=1e-6, atol=1e-8
    )
    assert modulate(hidden.bfloat16(), vector).dtype == torch.bfloat16


@pytest.mark.parametrize("config", [MODERNBERT, LLAMA], ids=lambda config: config["model_type"])
def test_norms_without_shift_are_scaled(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    encoder = transformer(config)
    made = FiLM(TASKS, encoder, behind="norms")
    assert made.modulations
    assert all(name.endswith("scale.weight") for name, _ in made.modulations.named_parameters())
    randomise(made)
    made(sentences(encoder), TASKS)["a"].pooled.sum().backward()
    assert all(parameter.grad is not None for parameter in made.modulations.parameters())


@pytest.mark.parametrize(
    ("make", "common"),
    [
        (FiLM, 1),
        (partial(FiLM, stages=[2]), 2),
        (partial(FiLM, behind="norms", stages=[2]), 1),
        (partial(FiLM, behind="features"), 2),
        (ConcatenatedEmbedding, 2),
        (TaskEmbedding, 0),
    ],
)
def test_what_comes_before_the_vectors_is_computed_once(make: Callable[..., TaskVectors], common: int) -> None:
    encoder = transformer()
    made = make(TASKS, encoder)
    runs = [0, 0]

    def count(index: int) -> Callable[..., None]:
        def counted(*_: Any) -> None:
            runs[index] += 1

        return counted

    for index, layer in enumerate(encoder.backbone.encoder.layer):
        layer.output.register_forward_hook(count(index))  # of the layer itself, `begin` takes note too
    made(sentences(encoder), TASKS)
    assert runs == [1] * common + [2] * (2 - common)


@pytest.mark.parametrize("config", [BERT, ALBERT, MODERNBERT], ids=lambda config: config["model_type"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_prepended_vector_is_a_token_that_heads_do_not_see(config: dict[str, Any], pooling: str) -> None:
    torch.manual_seed(0)
    encoder = transformer(config, pooling=pooling).eval()
    made = TaskEmbedding(TASKS, encoder, place="prepended").eval()
    inputs, token = sentences(encoder), 7
    with torch.no_grad():
        made.vectors["b"].copy_(encoder.backbone.get_input_embeddings().weight[token])
    arguments = {name: value for name, value in inputs.items() if name != "word_starts"}
    longer = {name: torch.cat([value[:, :1], value], 1) for name, value in arguments.items()}
    longer["input_ids"][:, 0] = token
    hidden = encoder.backbone(**longer).last_hidden_state[:, 1:]
    found = made(inputs, ["b"])["b"]
    mask, starts = inputs["attention_mask"].unsqueeze(-1), inputs["word_starts"]
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(found.pooled, pooled)
    for row in range(len(WORDS)):
        for word in range(len(WORDS[row])):
            torch.testing.assert_close(found.tokens[row, word], hidden[row, starts[row, word]])
    state = encoder.prepend(inputs, made.vectors["b"])
    assert encoder.pool(state).shape == pooled.shape


def test_the_vectors_are_theirs_alone_and_can_be_looked_at(encoder: Encoder) -> None:
    made = FiLM(TASKS, encoder, width=3)
    randomise(made)
    assert made.own_parameters("b") == [made.vectors["b"]]
    assert torch.equal(made.embeddings, torch.stack([made.vectors["a"], made.vectors["b"]]))
    observed = made.observe().embeddings
    assert observed is not None and not observed.requires_grad
    assert torch.equal(observed, made.embeddings)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("make", [TaskEmbedding, FiLM])
def test_vectors_find_groups_of_tasks(make: Callable[..., TaskVectors], seed: int) -> None:
    """Six tasks in two groups that have nothing in common; within a group, sign, scale and noise differ."""
    torch.manual_seed(seed)
    tasks, groups, features = list("abcdef"), torch.arange(6) % 2, torch.randn(256, 8)
    teachers = [torch.tanh(part @ torch.randn(4, 8) * 0.7) @ torch.randn(8) * 0.6 for part in features.split(4, 1)]
    scales = [0.8, 1.2, -1.0, 0.7, 1.3, -0.9]
    targets = [scale * teachers[i % 2] + 0.1 * torch.randn(256) for i, scale in enumerate(scales)]
    encoder = PerceptronEncoder(8, [16, 16])
    made = make(tasks, encoder)
    heads = nn.ModuleDict({task: nn.Linear(16, 1) for task in tasks})
    optimizer = torch.optim.Adam([*encoder.parameters(), *made.parameters(), *heads.parameters()], 0.01, fused=True)
    for _ in range(200):
        found = made({"features": features}, tasks)
        losses = [
            (heads[task](found[task].pooled).squeeze(1) - target).square().mean()
            for task, target in zip(tasks, targets, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    directions = normalize(made.embeddings.detach(), dim=1)
    cosines = directions @ directions.T
    values, axes = torch.linalg.eigh(cosines - cosines.mean())
    agreement = float(((axes[:, values.abs().argmax()] > 0) == groups.bool()).double().mean())
    assert max(agreement, 1 - agreement) >= 0.95
    related = groups[:, None] == groups
    assert cosines[related].mean() > cosines[~related].mean() + 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(FiLM, behind="stage"), r"`behind` is 'stage'; did you mean 'stages'\?"),
        (partial(FiLM, stages=[9]), r"`stages` must name some of the stages 1 to 2 of TransformerEncoder"),
        (partial(FiLM, behind="features", stages=[1]), r"`stages` have no effect on `behind: features`"),
        (partial(FiLM, width=0), r"`width` must be at least 1, found 0"),
        (partial(TaskEmbedding, place="prepend"), r"`place` is 'prepend'; did you mean 'prepended'\?"),
    ],
)
def test_bad_options_are_one_line(make: Callable[..., TaskVectors], message: str) -> None:
    with pytest.raises(UserError, match=r"^model.sharing: " + message) as caught:
        make(TASKS, transformer())
    assert "\n" not in str(caught.value)


def test_what_an_encoder_cannot_do_is_refused() -> None:
    with pytest.raises(UserError, match=r"PerceptronEncoder reads no tokens to which a vector could be prepended"):
        TaskEmbedding(TASKS, PerceptronEncoder(5), place="prepended")
    with pytest.raises(UserError, match=r"needs one position more than the model has; set .*`max_length` to 11"):
        TaskEmbedding(TASKS, transformer(max_length=12), place="prepended")
    with pytest.raises(UserError, match=r"recomputes its layers .* `gradient_checkpointing: false`"):
        FiLM(TASKS, transformer(gradient_checkpointing=True), behind="norms")
