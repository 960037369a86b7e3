"""A decoder that writes a text from the words of another."""

from typing import Any

import pytest
import torch
from torch.nn.functional import pad

from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Seq2Seq
from mtl_lightning.training.contents import refuse_other_tasks
from mtl_lightning.training.module import MultiTaskModule

BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
SOURCES = [["a", "b"], ["c", "a", "d"], ["b"], ["d", "d", "c", "a"]]
TEXTS = ["ba", "dac", "b", "acdd"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def made(**settings: Any) -> tuple[TransformerEncoder, Seq2Seq, dict[str, torch.Tensor], torch.Tensor]:
    """An encoder, a task, a batch and its targets."""
    of = TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=32, dropout=0.0)
    task = Seq2Seq(**{"layers": 1, "heads": 2, "dropout": 0.0, "max_target_length": 8, **settings})
    task.meet(of)
    task.build(of.features)
    encoded = of.processor.encode({"tokens": SOURCES})
    rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    targets = stack([task.fit(task.encode(text), row) for text, row in zip(TEXTS, rows, strict=True)], task.missing)
    return of, task, of.processor.collate(rows), targets


def test_it_learns_to_reverse_and_writes_what_it_learnt() -> None:
    of, task, batch, targets = made()
    optimizer = torch.optim.Adam([*of.parameters(), *task.parameters()], lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        task.loss(task(of(batch)), targets).backward()
        optimizer.step()
    seen = task.eval()(of.eval()(batch))
    assert [row["text"].replace(" ", "") for row in task.decode(seen, None)] == TEXTS
    assert task.correct(seen, targets).tolist() == [1.0] * 4
    metrics = task.metrics()
    task.update(metrics, seen, targets)
    found = metrics.compute()
    assert (found["exact_match"], found["token_accuracy"]) == (1.0, 1.0) and found["perplexity"] < 1.5


def test_padding_changes_nothing() -> None:
    of, task, batch, targets = made()
    seen = task.eval()(of.eval()(batch))
    padded = pad(targets, (0, 3), value=-100)
    torch.testing.assert_close(task.loss(seen, padded), task.loss(seen, targets))
    longer = type(seen)(pad(seen.states, (0, 0, 0, 2), value=9.0), pad(seen.mask, (0, 2)))
    torch.testing.assert_close(task.loss(longer, targets), task.loss(seen, targets))


def test_what_was_trained_for_another_metric_goes_on_with_this_one() -> None:
    (_, task, _, _), (_, other, _, _) = made(), made(main_metric="exact_match")
    taken, said = other.inherited(task.state_dict(), task.adapted())
    assert said == "taken" and taken.keys() == task.state_dict().keys() and taken
    refuse_other_tasks({"w": task.adapted()}, {"w": other})


def test_targets_are_tokens_with_an_end_and_cut() -> None:
    of, task, _, _ = made(max_target_length=3)
    tokenizer = of.processor.tokenizer
    assert tokenizer.convert_ids_to_tokens(task.encode("ab")) == ["a", "b", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(task.encode("abcdef")) == ["a", "b", "c"]
    assert task.encode(None) == [-100] and task.count([-100]) == 0
    assert task.in_words(torch.tensor([-100, -100])) is None


@pytest.mark.parametrize(
    ("encoder", "settings", "message"),
    [
        (lambda: PerceptronEncoder(in_features=3), {}, "PerceptronEncoder has no tokenizer to write with; choose Tr"),
        (
            lambda: TransformerEncoder(config=BERT, tokenizer="characters:ascii"),
            {"heads": 3},
            "`heads` is 3, which does not divide the 16 features of the encoder",
        ),
    ],
)
def test_what_does_not_do_is_refused(encoder: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"model.tasks.w: {message}"):
        MultiTaskModule(encoder(), {"w": Seq2Seq(**settings)}).build()


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="expected a text to write, found 7"):
        made()[1].encode(7)
