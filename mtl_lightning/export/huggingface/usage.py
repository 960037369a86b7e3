"""How an export is used: lines of Python that run."""

from collections.abc import Mapping

from mtl_lightning.export.huggingface.heads import Head

_TEXTS = """\
```python
from transformers import pipeline

classifier = pipeline("text-classification", {where}, trust_remote_code=True)
print(classifier(["a text", "another one"], truncation=True, top_k=None))
```

{meaning} `trust_remote_code` runs `modeling_multi_task.py`, which lies beside
the weights: the model pools the hidden states as in training and maps them by one linear layer, which
no class of transformers does."""

_WORDS = """\
```python
from transformers import pipeline

tagger = pipeline("token-classification", {where}{code}, aggregation_strategy="first")
print(tagger("a text"))
print(tagger(["a", "list", "of", "words"], is_split_into_words=True))
```

`first` takes the label of a word's first sub-word, where it was trained."""

_ALL = """\
```python
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({where}, trust_remote_code=True)
model = AutoModel.from_pretrained({where}, trust_remote_code=True)
inputs = tokenizer(["a text", "another one"], padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs)
for task, settings in model.config.tasks.items():
    print(task, settings["problem_type"], settings["labels"], logits[task].shape)
```

`logits` has a tensor for each task: `[B, C]` of a text, `[B, L, C]` of its sub-words.
`model(**inputs, tasks=["…"])` computes these tasks alone. Softmax makes probabilities of a single
label, the sigmoid function those of several labels; a regression gives the number itself.
`trust_remote_code` runs `modeling_multi_task.py`, which lies beside the weights."""

_MEANINGS = {
    "single_label_classification": "Scores are probabilities of the labels.",
    "multi_label_classification": "Scores are probabilities; a label applies above {threshold:g}.",
    "regression": "The score is the number, in its own unit.",
}


def usage(where: str, heads: Mapping[str, Head], needs_code: bool) -> str:
    """Markdown with a snippet.

    Args:
        where: A name on the hub, or a folder.
        heads: By task.
        needs_code: Whether the model comes with code of its own.
    """
    place = f'"{where}"'
    (head,) = heads.values() if len(heads) == 1 else (None,)
    if head is None or head.pipeline is None:
        return _ALL.format(where=place)
    if head.pipeline == "token-classification":
        return _WORDS.format(where=place, code=", trust_remote_code=True" if needs_code else "")
    return _TEXTS.format(where=place, meaning=_MEANINGS[head.problem].format(threshold=head.threshold or 0.5))
