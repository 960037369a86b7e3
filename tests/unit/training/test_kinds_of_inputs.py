"""One model whose tasks read different kinds of inputs: which of them each kind suffices for."""

from typing import Any

import pytest
import torch

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.tasks import (
    CausalLM,
    MultipleChoice,
    Regression,
    RelationClassification,
    SequenceClassification,
    SimilarityRegression,
    SpanQuestionAnswering,
    TokenClassification,
)
from mtl_lightning.training.module import MultiTaskModule

LLAMA = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
}
OF_ALL = {"kind", "size"}
ASKED = [{"role": "user", "content": "ab"}]
KINDS: list[tuple[dict[str, list[Any]], set[str]]] = [
    ({"text": ["a", "bc", "c"]}, set()),
    ({"text": ["a", "bc", "c"], "text_pair": ["ab", "c", "a"]}, set()),
    ({"tokens": [["a", "bc"], ["c"], "d e f"]}, {"tags"}),
    ({"tokens": [["a", "bc"], ["c"], ["d"]], "spans": [[[0, 1], [1, 2]], [], None]}, {"tags", "relations"}),
    ({"text": ["a", "bc", "c"], "choices": [["a", "b"], ["c", "d", "e"], ["f", "g"]]}, {"choice"}),
    ({"texts": [["a", "b"], ["cc", "d"], ["e", "f"]]}, {"alike"}),
    ({"text": ["a?", "b?", "c?"], "context": ["abc " * 12, "b", "c d"]}, {"answer"}),
    ({"prompt": ["a", "bc", "c"]}, {"write"}),
    ({"messages": [ASKED, [*ASKED, {"role": "assistant", "content": "c"}], ASKED]}, {"write"}),
]


@pytest.fixture(scope="module", params=[False, True], ids=["padded", "packed"])
def model(request: pytest.FixtureRequest) -> MultiTaskModule:
    torch.manual_seed(0)
    encoder = TransformerEncoder(
        config=LLAMA, tokenizer="characters:ascii", max_length=32, chat_template="plain", packing=request.param
    )
    made = MultiTaskModule(
        encoder,
        {
            "kind": SequenceClassification(labels=["x", "y"]),
            "size": Regression(mean=0.0, std=1.0),
            "tags": TokenClassification(labels=["x", "y"]),
            "relations": RelationClassification(labels=["x", "y"]),
            "choice": MultipleChoice(),
            "alike": SimilarityRegression(mean=0.0, std=1.0),
            "answer": SpanQuestionAnswering(),
            "write": CausalLM(generation={"max_new_tokens": 2}),
        },
    )
    made.build()
    return made


@pytest.mark.parametrize(("columns", "tasks"), KINDS, ids=[" ".join(columns) for columns, _ in KINDS])
def test_each_kind_is_predicted_as_the_tasks_that_it_suffices_for(
    model: MultiTaskModule, columns: dict[str, list[Any]], tasks: set[str]
) -> None:
    together = model.predict(columns)
    assert all(set(row) == OF_ALL | tasks for row in together)
    alone = [row for i in range(3) for row in model.predict({name: [of[i]] for name, of in columns.items()})]
    for one, other in zip(together, alone, strict=True):
        assert one["size"]["value"] == pytest.approx(other["size"]["value"], abs=1e-5)
        assert one["kind"]["probability"] == pytest.approx(other["kind"]["probability"], abs=1e-5)
