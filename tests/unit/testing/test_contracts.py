"""Every exported plug-in holds its contract, and the contract checks catch those that do not."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import pytest
import torch
from tiny import BART, SOUND, T5, VISION
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mtl_lightning import encoders, tasks, weighting
from mtl_lightning.data import schedules
from mtl_lightning.data.schedules import Moment, Schedule
from mtl_lightning.encoders import (
    ConvolutionalEncoder,
    Encoder,
    Images,
    ModalityEncoder,
    PerceptronEncoder,
    PretrainedSoundEncoder,
    Representation,
    Sounds,
    SpectrogramEncoder,
    TransformerEncoder,
    UNetEncoder,
    VisionEncoder,
)
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.inputs.spans import collate_spans, encode_spans
from mtl_lightning.tasks import (
    CausalLM,
    DenseBinary,
    DependencyParsing,
    DepthEstimation,
    FewShotClassification,
    MultiLabelClassification,
    MultipleChoice,
    PrototypicalClassification,
    Ranking,
    Regression,
    RelationClassification,
    SemanticSegmentation,
    Seq2Seq,
    SequenceClassification,
    SimilarityRegression,
    SpanQuestionAnswering,
    SurfaceNormals,
    Task,
    TokenClassification,
    TokenMultiLabelClassification,
)
from mtl_lightning.testing import check_encoder, check_schedule, check_task, check_weighting
from mtl_lightning.weighting import (
    PIVRG,
    EqualWeighting,
    FixedWeighting,
    GramianWeighting,
    LossWeighting,
    ScaleInvariantWeighting,
    Weighting,
)
from tests import images, tables

BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
LLAMA = {**BERT, "model_type": "llama", "hidden_size": 16}
CLASSES = ["yes", None, "no", "", "yes", "no"]
TAGS = [["a", None, "b"], None, ["c"], ["b", "a", "", "c"]]
SPANS = [["O", "B-x", "I-x"], None, ["I-y", "O", None, "B-x"], ["B-y"]]
TREES = [
    ([2, 0, 2], ["det", "root", "obj:x"]),
    None,
    ([0], ["root"]),
    (["2", "3", "0", "_"], ["obj", "det", "root", "_"]),
]
TEXTS = ["C=O", "a much longer text, some words of which are cut off", "N"]
WORDS = [["one", "two"], ["a", "much", "longer", "sentence,", "of", "which", "words", "are", "cut", "off"], ["x"]]
CHATS = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": text}] for text in "bcd"]
IMAGES = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0)).tolist()
VECTORS = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)).tolist()


def examples_of(encoded: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


def bert(**changes: Any) -> TransformerEncoder:
    return TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=32, **changes)


def llama(**changes: Any) -> TransformerEncoder:
    return TransformerEncoder(config=LLAMA, tokenizer="characters:ascii", max_length=32, **changes)


def encoder_decoder(config: dict[str, Any]) -> TransformerEncoder:
    return TransformerEncoder(config=config, tokenizer="characters:printable", max_length=32)


def halves(names: Sequence[str]) -> Weighting:
    return FixedWeighting(names, dict.fromkeys(names, 0.5))


def informed(names: Sequence[str]) -> Weighting:
    return PIVRG(names, dict.fromkeys(names, 0.5))


TASKS: dict[str, tuple[Callable[[], Task], list[Any]]] = {
    "binary": (SequenceClassification, CLASSES),
    "classes": (SequenceClassification, [*CLASSES, "perhaps"]),
    "classes-smoothed": (lambda: SequenceClassification(label_smoothing=0.1), [*CLASSES, "perhaps"]),
    "classes-configured": (lambda: SequenceClassification(labels=["no", "yes"], main_metric="auroc"), CLASSES),
    "multi-label-lists": (MultiLabelClassification, [["a", "b"], None, [], ["b"], ["a"]]),
    "multi-label-texts": (lambda: MultiLabelClassification(separator="|"), ["a|b", "", None, "c", "a"]),
    "classes-with-missing-word": (lambda: SequenceClassification(missing=["perhaps", "?"]), [*CLASSES, "perhaps"]),
    "multi-label-vectors": (MultiLabelClassification, [[1, 0, 1], None, [0, 0, 0], [0, 1, 0]]),
    "tags": (TokenClassification, TAGS),
    "tags-with-missing-tag": (lambda: TokenClassification(missing_tag="c", main_metric="f1"), TAGS),
    "spans": (lambda: TokenClassification(scheme="bio"), SPANS),
    "spans-of-one-type": (lambda: TokenClassification(scheme="bio"), [["O", "B-x"], None, ["I-x"]]),
    "tags-crf": (lambda: TokenClassification(decoding="crf"), [["a", "b"], None, ["c"], ["b", "a", "c"]]),
    "spans-crf": (lambda: TokenClassification("bio", decoding="crf"), [["O", "B-x", "I-x"], None, ["I-y", "O"]]),
    "spans-as-spans": (
        lambda: TokenClassification("bio", spans="inclusive"),
        [[[0, 0, "x"], [2, 3, "y"]], None, [], [{"start": 1, "end": 2, "type": "x"}]],
    ),
    "multi-label-words": (
        lambda: TokenMultiLabelClassification(separator="|", empty="_"),
        [["a|b", None, "_"], None, ["c"], ["b", "a|c", ""]],
    ),
    "multi-label-word-vectors": (TokenMultiLabelClassification, [[[1, 0], [0, 1]], None, [[1, None], None]]),
    "trees": (DependencyParsing, TREES[:3]),
    "trees-with-missing-words": (lambda: DependencyParsing(missing="_", main_metric="uas", arc_size=5), TREES),
    "answers": (SpanQuestionAnswering, [["b c"], None, [], {"text": ["c d", "a"], "answer_start": [4, 0]}]),
    "relations": (
        lambda: RelationClassification(hidden=8),
        [[{"head": 0, "tail": 1, "type": "x"}], None, [], [[[1, 2], [0, 1], "y"], [0, 1, "x"]]],
    ),
    "few-shot": (lambda: FewShotClassification(3), [*CLASSES, "perhaps"]),
    "prototypes": (lambda: PrototypicalClassification(embedding=4), [*CLASSES, "perhaps"]),
    "prototypes-cosine": (lambda: PrototypicalClassification(distance="cosine"), [*CLASSES, "perhaps"]),
    "regression": (Regression, [1.5, None, -2, "7", 3.0]),
    "regression-with-missing-number": (lambda: Regression(missing=-2), [1.5, None, -2, "7", 3.0]),
    "regression-configured-mean": (lambda: Regression(mean=10.0, main_metric="rmse"), [1.5, None, -2, "7", 3.0]),
}
SEQUENCES = torch.tensor([[0, 1, 2], [3, 4, -1], [5, 6, -1], [7, 8, 9], [10, -1, -1]])
TWO = torch.arange(10).view(5, 2)
BY_SEQUENCE: dict[str, tuple[Callable[[], Task], list[Any], Tensor]] = {
    "choices": (MultipleChoice, [2, "1", None, 0, None], SEQUENCES),
    "choices-smoothed": (lambda: MultipleChoice("A", "mrr", label_smoothing=0.1), ["C", "A", "", "B", None], SEQUENCES),
    **{
        f"ranking-{each}": (partial(Ranking, each), [[2, 0, 1], None, [0, 1], [None, 1, 3], [1]], SEQUENCES)
        for each in ("softmax", "listnet", "ranknet")
    },
    **{
        f"similarity-{each}": (partial(SimilarityRegression, each), [1.5, None, -2, "7", 3.0], TWO)
        for each in ("cosine", "euclidean", "difference")
    },
}
RELATED = [[[0, 1], [2, 4]], [[0, 1]], [[0, 2]], [[1, 2], [0, 1]]]
QUESTION_READER = TextProcessor(character_tokenizer("ascii"), 16, overlap=3)
QUESTIONS = examples_of(QUESTION_READER.encode({"text": ["x", "y?", "zz", "?"], "context": ["a b c d"] * 4}))
READ = QUESTION_READER.collate(QUESTIONS)
LONGEST = READ["char_starts"].shape[1]
GIVEN: dict[str, tuple[list[Any], dict[str, Tensor]]] = {
    "answers": ([{**each, "word_starts": [0] * LONGEST} for each in QUESTIONS], READ),
    "relations": (
        [{"spans": encode_spans(each, "exclusive", 4, 4), "word_starts": [*range(4)]} for each in RELATED],
        {"spans": torch.from_numpy(collate_spans([encode_spans(each, "exclusive", 4, 4) for each in RELATED]))},
    ),
}
"""What a task reads beside features, with the encoded inputs of its examples."""


class Pyramid(UNetEncoder):
    """Gives a coarser map, too."""

    @property
    def map_widths(self) -> dict[int, int]:
        return {**super().map_widths, 2: 3}


CLASS_MAPS = [[[0, 1, 2, -1, 0]] * 2, None, [[2, 2, 0, 0, 1], [-1] * 5]]
DEPTH_MAPS = [[[0, 1, 2.5, float("nan"), 3]] * 2, None, [[2, 2, 0, 0, 1], [float("inf")] * 5]]
NORMAL_MAPS = [[[[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 2, 2], [0.0, 1, 0]]] * 2, None, [[[1, 2, 3]] * 5] * 2]
MASKS = [[[0, 1, 1, -1, 0]] * 2, None, [[255, 255, 0, 0, 0], [-1] * 5]]
DENSE: dict[str, tuple[Callable[[], Task], list[Any]]] = {
    "segmentation": (SemanticSegmentation, CLASS_MAPS),
    "segmentation-aspp": (lambda: SemanticSegmentation(["a", "b", "c"], architecture="aspp", width=2), CLASS_MAPS),
    "segmentation-batch-means": (lambda: SemanticSegmentation(3, convention="batch_means"), CLASS_MAPS),
    "depth": (DepthEstimation, DEPTH_MAPS),
    "depth-unet": (lambda: DepthEstimation(mean=2.0, architecture="unet", width=2), DEPTH_MAPS),
    "normals": (SurfaceNormals, NORMAL_MAPS),
    "normals-batch-means": (lambda: SurfaceNormals(convention="batch_means"), NORMAL_MAPS),
    "edges": (lambda: DenseBinary(positive_weight=2.0), MASKS),
}
ENCODERS: dict[str, tuple[Callable[[], Encoder], dict[str, Sequence[Any]]]] = {
    "transformer-text": (bert, {"text": TEXTS}),
    "transformer-pairs": (bert, {"text": TEXTS, "text_pair": TEXTS[::-1]}),
    "transformer-choices": (bert, {"text": TEXTS, "choices": [TEXTS[:2], TEXTS, TEXTS[:1]]}),
    "transformer-several-texts": (bert, {"texts": [(TEXTS[0], TEXTS[1]), [TEXTS[2]]]}),
    "transformer-words": (bert, {"tokens": WORDS}),
    "transformer-windows": (lambda: bert(overlap=3), {"text": ["x", "y?"], "context": [TEXTS[1], "a"]}),
    "transformer-spans": (bert, {"tokens": WORDS, "spans": [[[0, 1], [1, 2]], [], [[0, 1, "x"]]]}),
    "transformer-characters": (lambda: bert(split="characters"), {"tokens": TEXTS}),
    "transformer-cls": (lambda: bert(pooling="cls"), {"text": TEXTS}),
    "language-model-completions": (llama, {"prompt": CLASSES[:1] * 2, "completion": ["x", None]}),
    "language-model-packed": (lambda: llama(packing=True), {"prompt": CLASSES[:1] * 2, "completion": ["x", None]}),
    "language-model-conversations": (lambda: llama(chat_template="plain", pooling="last"), {"messages": CHATS}),
    "encoder-of-t5": (partial(encoder_decoder, T5), {"text": TEXTS}),
    "encoder-of-bart": (partial(encoder_decoder, BART), {"tokens": WORDS}),
    "transformer-frozen-below": (lambda: bert(freeze_embeddings=True, frozen_layers=1), {"text": TEXTS}),
    "transformer-frozen": (lambda: bert(freeze_embeddings=True, frozen_layers=-1), {"text": TEXTS}),
    "convolutional": (lambda: ConvolutionalEncoder(channels=[2, 3], features=16), {"image": IMAGES}),
    "convolutional-batch-norm": (lambda: ConvolutionalEncoder(channels=[2], batch_norm=True), {"image": IMAGES}),
    "convolutional-images": (
        lambda: ConvolutionalEncoder(3, [2], features=16, images=Images(6)),
        {"image": [images.pixels(seed) for seed in range(3)]},
    ),
    "vision": (
        lambda: VisionEncoder(config=VISION["resnet"], images=Images(32)),
        {"image": [images.pixels(seed) for seed in range(3)]},
    ),
    "spectrogram": (
        lambda: SpectrogramEncoder([2, 3], features=16, sounds=Sounds(1000, 8, 0.1, 0.05)),
        {"sound": [np.sin(np.arange(600 + 300 * n) * (n + 1) / 9) for n in range(3)]},
    ),
    "spectrogram-segments": (
        lambda: SpectrogramEncoder([2, 3], features=16, sounds=Sounds(1000, 8, 0.1, 0.05), segments=3, batch_norm=True),
        {"sound": [np.sin(np.arange(600 + 300 * n) * (n + 1) / 9) for n in range(3)]},
    ),
    "modalities": (
        lambda: ModalityEncoder({"words": bert(), "image": ConvolutionalEncoder(channels=[2])}, 8, [16]),
        {"tokens": WORDS, "image": IMAGES},
    ),
    **{
        kind: (
            lambda kind=kind: PretrainedSoundEncoder(config=SOUND[kind]),
            {"sound": [np.sin(np.arange(600 + 300 * n) * (n + 1) / 9) for n in range(3)]},
        )
        for kind in SOUND
    },
    "perceptron-choices": (lambda: PerceptronEncoder(5, [32]), {"choices": [VECTORS[:1], tuple(VECTORS)]}),
    "u-net": (lambda: UNetEncoder(1, [2, 3, 4]), {"image": IMAGES}),
    "u-net-without-norm": (lambda: UNetEncoder(1, [2, 3], batch_norm=False), {"image": IMAGES}),
    "convolutional-choices": (
        lambda: ConvolutionalEncoder(channels=[2], features=16),
        {"choices": [IMAGES[:2], IMAGES]},
    ),
    **{f"table-{name}": (partial(tables.complete, name), tables.ROWS) for name in tables.KINDS},
    "perceptron": (lambda: PerceptronEncoder(in_features=5, hidden=[32, 16], dropout=0.5), {"features": VECTORS}),
}
ADAPTED = {"TorchJDAggregator": "UPGrad", "TorchJDScalarizer": "GeometricMean", "TorchJDWeighting": "UPGradWeighting"}
WEIGHTINGS: dict[str, Callable[[Sequence[str]], Weighting]] = {
    **{name: getattr(weighting, name) for name in weighting.__all__ if name not in ("Weighting", "gramian")},
    **{name: partial(getattr(weighting, name), name=theirs) for name, theirs in ADAPTED.items()},
    "FixedWeighting": halves,
    "PIVRG": informed,
}
for name in ("LossWeighting", "GramianWeighting", "JacobianWeighting", "SharpnessAware"):
    del WEIGHTINGS[name]
SCHEDULES: dict[str, Schedule] = {
    "round-robin": schedules.RoundRobin(),
    "round-robin-shortest": schedules.RoundRobin("shortest"),
    "alternating": schedules.Alternating(),
    "alternating-in-mid-turn": schedules.Alternating(10),
    "proportional": schedules.Proportional(),
    "uniform-longest": schedules.Uniform(epoch_length="longest"),
    "temperature-mixed": schedules.Temperature(0.3, batches_per_step=5, epoch_length="shortest"),
    "annealed": schedules.Annealed(),
    "fixed-without-one": schedules.FixedProbabilities({"a": 0.1, "b": 0, "c": 0.3}, epoch_length="longest"),
    "learning-progress": schedules.LearningProgress(0.3, 0.1, batches_per_step=2, epoch_length=11),
    "validation-driven": schedules.ValidationDriven({"a": 0.9}, batches_per_step=2, epoch_length=11),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", TASKS)
def test_task(name: str) -> None:
    make, labels = TASKS[name]
    examples, given = GIVEN.get(name, (None, None))
    check_task(make(), labels, examples=examples, given=given)


def test_seq2seq() -> None:
    check_task(Seq2Seq(layers=1, max_target_length=5), ["ab", None, "", "cdefgh", "a"], encoder=bert())


@pytest.mark.parametrize("config", [T5, BART], ids=["t5", "bart"])
@pytest.mark.parametrize("settings", [{}, {"metrics": ["bleu", "rouge_l"], "main_metric": "exact_match"}], ids=str)
def test_seq2seq_with_the_decoder_of_the_model(config: dict[str, Any], settings: dict[str, Any]) -> None:
    read = {
        "attention_mask": torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1], [1, 0]]),
        "input_ids": torch.full((5, 2), 7),
    }
    task, labels = Seq2Seq(max_target_length=5, **settings), ["ab", None, "", "cdefgh", "a"]
    check_task(task, labels, 32, given=read, encoder=encoder_decoder(config).eval())


def test_causal_lm() -> None:
    encoder = llama()
    columns = {"prompt": ["a", "bc", "de"], "completion": ["xyz", None, "y"]}
    encoded = encoder.processor.encode(columns)
    examples = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    check_task(CausalLM(), columns["completion"], 16, examples, encoder.processor.collate(examples), encoder)


@pytest.mark.parametrize(("make", "labels"), DENSE.values(), ids=DENSE)
def test_task_that_labels_pixels(make: Callable[[], Task], labels: list[Any]) -> None:
    examples = [{"image": np.zeros((3, 2, 5))}] * len(labels)
    check_task(make(), labels, 4, examples, encoder=Pyramid())


@pytest.mark.parametrize(("make", "labels", "sequences"), BY_SEQUENCE.values(), ids=BY_SEQUENCE)
def test_task_that_reads_sequences(make: Callable[[], Task], labels: list[Any], sequences: Tensor) -> None:
    examples = [{"num_sequences": int(number)} for number in (sequences >= 0).sum(1)]
    check_task(make(), labels, examples=examples, given=dict.fromkeys(("sequences", "choices", "texts"), sequences))


@pytest.mark.parametrize(("make", "columns"), ENCODERS.values(), ids=ENCODERS)
def test_encoder(make: Callable[[], Encoder], columns: dict[str, Sequence[Any]]) -> None:
    check_encoder(make(), columns)


@pytest.mark.parametrize("num_tasks", [2, 3, 8, 32])
@pytest.mark.parametrize("factory", WEIGHTINGS.values(), ids=WEIGHTINGS)
def test_weighting(factory: Callable[[Sequence[str]], Weighting], num_tasks: int) -> None:
    check_weighting(factory, num_tasks)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedule(schedule: Schedule) -> None:
    check_schedule(schedule)


@pytest.mark.parametrize(
    ("package", "base", "made"),
    [
        (
            tasks,
            Task,
            lambda: [
                *(make() for make, *_ in (*TASKS.values(), *DENSE.values(), *BY_SEQUENCE.values())),
                CausalLM(),
                Seq2Seq(),
            ],
        ),
        (encoders, Encoder, lambda: [make() for make, _ in ENCODERS.values()]),
        (weighting, Weighting, lambda: [factory(["a", "b"]) for factory in WEIGHTINGS.values()]),
        (schedules, Schedule, lambda: SCHEDULES.values()),
    ],
    ids=["tasks", "encoders", "weighting", "schedules"],
)
def test_every_export_has_a_case(package: Any, base: type, made: Callable[[], list[Any]]) -> None:
    exports = {getattr(package, name) for name in package.__all__}
    plugins = {c for c in exports if inspect.isclass(c) and issubclass(c, base) and c is not base}
    concrete = {plugin for plugin in plugins if not inspect.isabstract(plugin) and plugin is not base}
    assert concrete
    assert concrete == {type(case) for case in made()}


def test_checks_leave_everything_as_it_was() -> None:
    encoder, task, random = bert(), SequenceClassification(), torch.get_rng_state()
    state = copy.deepcopy(encoder.state_dict())
    check_encoder(encoder, {"text": TEXTS})
    check_task(task, CLASSES)
    check_weighting(EqualWeighting)
    assert encoder.training
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert task.adapted() == {}
    assert task.head is None
    assert torch.equal(torch.get_rng_state(), random)


# -- plug-ins that break a rule ----------------------------------------------------------------------------------------
class CountsMissing(SequenceClassification):
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits.float(), targets.clamp(min=0))


class SumsLoss(SequenceClassification):
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits.float(), targets, ignore_index=-100, reduction="sum")


class LossInHalfPrecision(SequenceClassification):
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, ignore_index=-100)


class LossWithoutGradient(SequenceClassification):
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().loss(logits * 0, targets)


class ForgetsLabels(SequenceClassification):
    def adapted(self) -> dict[str, Any]:
        return {}


class ForgetsStd(Regression):
    def adapted(self) -> dict[str, Any]:
        return {} if self.mean is None else {"mean": self.mean}


class TensorsInPredictions(SequenceClassification):
    def decode(self, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
        return [{"index": row.argmax()} for row in logits]


class TooFewPredictions(SequenceClassification):
    def decode(self, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
        return super().decode(logits, mask)[1:]


class OutputsOfABatch(SequenceClassification):
    def outputs(self, logits: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        return {"logits": logits, "mean": logits.mean()}


class WrongWhereMissing(SequenceClassification):
    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits.argmax(-1) == targets).float()


class StateOutsideTheState(SequenceClassification):
    def build(self, features: int) -> None:
        super().build(features)
        self.scale = torch.rand(())

    def forward(self, features: tasks.Features) -> Tensor:
        return super().forward(features) * self.scale


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (CountsMissing, "logits of missing labels change the loss"),
        (SumsLoss, "mean over labels"),
        (LossInHalfPrecision, "bfloat16 logits must be float32"),
        (LossWithoutGradient, "a gradient that is not zero"),
        (ForgetsLabels, r"adapted\(\) must not be empty"),
        (TensorsInPredictions, "what JSON can hold"),
        (TooFewPredictions, "must give 6 predictions, found 5"),
        (OutputsOfABatch, r"outputs\(\) must begin with 6, found mean \[\]"),
        (WrongWhereMissing, "must be NaN where the label is missing"),
        (StateOutsideTheState, "a checkpoint changes the logits"),
    ],
)
def test_check_task_catches(broken: type[SequenceClassification], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_task(broken(), CLASSES)


def test_check_task_catches_what_adapted_forgets() -> None:
    with pytest.raises(AssertionError, match=r"adapt\(\) comes first"):
        check_task(ForgetsStd(), [1.0, 2.0, None])


def test_check_task_wants_a_missing_label() -> None:
    with pytest.raises(AssertionError, match="at least one None"):
        check_task(SequenceClassification(), ["yes", "no"])


class MeanOverPadding(TransformerEncoder):
    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        hidden = self.backbone(inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        return Representation(pooled=hidden.mean(1))


class AttentionToPadding(TransformerEncoder):
    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        return super().forward({**inputs, "attention_mask": torch.ones_like(inputs["attention_mask"])})


class ShiftsTheMask(TransformerEncoder):
    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        representation = super().forward(inputs)
        assert representation.mask is not None
        return representation._replace(mask=representation.mask.roll(1, dims=1))


class NamesASequenceTwice(TransformerEncoder):
    def __init__(self) -> None:
        super().__init__(config=BERT, tokenizer="characters:ascii", max_length=32)
        self.processor = TwiceTheFirst(self.processor.tokenizer, 32)


class TwiceTheFirst(TextProcessor):
    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        inputs = super().collate(examples)
        return {name: tensor.clamp(max=0) if name == "sequences" else tensor for name, tensor in inputs.items()}


class WrongWidth(PerceptronEncoder):
    def __init__(self) -> None:
        super().__init__(in_features=5, hidden=[4])
        self.features = 5


class UnusedParameter(PerceptronEncoder):
    def __init__(self) -> None:
        super().__init__(in_features=5, hidden=[4])
        self.spare = nn.Parameter(torch.zeros(3))


class UnpicklableProcessor(PerceptronEncoder):
    def __init__(self) -> None:
        super().__init__(in_features=5, hidden=[4])
        self.processor.transform = lambda value: value

    def __deepcopy__(self, memo: Any) -> "UnpicklableProcessor":
        return self


def broken_bert(broken: type[TransformerEncoder]) -> Callable[[], Encoder]:
    return lambda: broken(config=BERT, tokenizer="characters:ascii", max_length=32)


@pytest.mark.parametrize(
    ("make", "columns", "message"),
    [
        (broken_bert(MeanOverPadding), {"text": TEXTS}, "pooled features of example 0 change"),
        (broken_bert(AttentionToPadding), {"text": TEXTS}, "pooled features of example 0 change"),
        (broken_bert(ShiftsTheMask), {"tokens": WORDS}, "real positions must come before padding"),
        (NamesASequenceTwice, {"texts": [TEXTS, TEXTS[:1]]}, "`sequences` must name each sequence once"),
        (WrongWidth, {"features": VECTORS}, r"pooled must be \[3, 5\], found \[3, 4\]"),
        (UnusedParameter, {"features": VECTORS}, "spare"),
        (UnpicklableProcessor, {"features": VECTORS}, "TensorProcessor must be picklable"),
    ],
    ids=["mean-over-padding", "attention-to-padding", "mask", "sequences", "width", "unused-parameter", "unpicklable"],
)
def test_check_encoder_catches(make: Callable[[], Encoder], columns: dict[str, Sequence[Any]], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_encoder(make(), columns)


class LazyState(LossWeighting):
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        if not hasattr(self, "mean"):
            self.register_buffer("mean", torch.zeros(()))
        return losses.sum()


class StateInAnAttribute(LossWeighting):
    step = 0

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        self.step += 1
        return losses.sum() / self.step


class NoNames(EqualWeighting):
    def set_extra_state(self, state: dict[str, Any]) -> None:
        pass


class GlobalRandomNumbers(LossWeighting):
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return (torch.rand(len(losses)) * losses).sum()


class DividesByNorm(GramianWeighting):
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return gramian.diagonal().rsqrt()


class SinglePrecisionSquares(GramianWeighting):
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return gramian.float().square().mean(1) + 1


class WeighsByNegativeLosses(LossWeighting):
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.sqrt().sum()


class SaysToBeConstant(LossWeighting):
    @property
    def constant_weights(self) -> dict[str, float]:
        return dict.fromkeys(self.tasks, 2.0)

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.square().sum()


class FiniteWhereUndefined(EqualWeighting):
    domain = "positive losses"

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses <= 0


class NamesNoDomain(ScaleInvariantWeighting):
    domain = ""


class PoisonedByTheNextLosses(LossWeighting):
    needs_losses_after = True
    mean: Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.register_buffer("mean", torch.ones(()))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.sum() / self.mean

    def on_step_end(self, losses: Tensor, tasks: Tensor) -> None:
        self.mean.copy_(losses.square().mean())


class NeverTold(EqualWeighting):
    def on_step_end(self, losses: Tensor, tasks: Tensor) -> None:
        pass


class WeightsOfAllTasks(GramianWeighting):
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return torch.ones(len(self.tasks))


class ChangesTheGramian(GramianWeighting):
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        gramian += torch.eye(len(gramian))
        return gramian.diagonal() * 0 + 1


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (LazyState, "state must be created in __init__"),
        (StateInAnAttribute, "a checkpoint changes the next answer"),
        (NoNames, "another order"),
        (GlobalRandomNumbers, "global random numbers"),
        (DividesByNorm, r"must be finite, found .* gradient zero"),
        (SinglePrecisionSquares, r"must be finite, found .* scale 1"),
        (WeighsByNegativeLosses, r"must be finite, found .* a loss of -1.0"),
        (SaysToBeConstant, r"the weights are .*, said to be"),
        (FiniteWhereUndefined, "must not be finite with a loss of -1.0"),
        (NamesNoDomain, "`domain` must say what is needed"),
        (PoisonedByTheNextLosses, "must be finite, found .* a loss after the step before that is not a number"),
        (NeverTold, "`needs_losses_after` must be set"),
        (WeightsOfAllTasks, r"must be \[1\], found \[3\] for tasks \[0\]"),
        (ChangesTheGramian, "must not change its evidence"),
    ],
)
def test_check_weighting_catches(factory: Callable[[Sequence[str]], Weighting], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_weighting(factory)


class TooShort(schedules.RoundRobin):
    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        yield tuple(num_batches)


class Endless(schedules.RoundRobin):
    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        yield from repeat(tuple(num_batches))


class NothingDrawn(schedules.RoundRobin):
    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        yield from repeat((), self.num_steps(num_batches))


class OneName(schedules.RoundRobin):
    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        yield from repeat(("".join(num_batches),), self.num_steps(num_batches))


class KeepsItsPlace(schedules.Alternating):
    turn = 0

    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        self.turn += 1
        yield from super().steps(num_batches, moment._replace(epoch=self.turn))


class RollsDice(schedules.Alternating):
    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        np.random.rand()
        yield from super().steps(num_batches, moment)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (TooShort("longest"), "draws 1 steps in epoch 0, but its num_steps is 40"),
        (Endless("longest"), "draws more than 40 steps in epoch 0"),
        (NothingDrawn("longest"), "draws no data set in step 1 of epoch 0"),
        (OneName("longest"), "draws the unknown data set 'abc'; choose from a, b, c"),
        (KeepsItsPlace(10), "must always be the same"),
        (RollsDice("longest"), "global random numbers"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Schedule) else "",
)
def test_check_schedule_catches(broken: Schedule, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_schedule(broken)
