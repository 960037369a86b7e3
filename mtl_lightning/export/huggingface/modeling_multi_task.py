"""A model with one encoder and a linear head per task. It needs transformers and torch alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput

from .configuration_multi_task import MultiTaskConfig


def first(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first token."""
    return hidden[:, 0]


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last real token, on whichever side the padding is."""
    position = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), position]


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the real tokens."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / torch.clamp(weights.sum(1), min=1)


POOLINGS = {"cls": first, "mean": mean, "last": last}


class MultiTaskPreTrainedModel(PreTrainedModel):
    """An encoder and its heads.

    Args:
        config: Of the model.
    """

    config_class = MultiTaskConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: MultiTaskConfig) -> None:
        super().__init__(config)
        self.encoder: Any = AutoModel.from_config(config.encoder)
        self.encoder.pooler = None  # heads read the hidden states
        width = config.encoder.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(t["labels"])) for name, t in config.tasks.items()})
        self.post_init()

    def logits(
        self, input_ids: Tensor, attention_mask: Tensor | None, tasks: Sequence[str] | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Logits of some tasks, of one pass through the encoder; see :class:`MultiTaskModel`."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = self.encoder(input_ids=input_ids, attention_mask=mask, **inputs).last_hidden_state
        read = {"tokens": hidden, "pooled": POOLINGS[self.config.pooling](hidden, mask)}
        wanted = self.config.tasks if tasks is None else tasks
        return {name: self.heads[name](read[self.config.tasks[name]["level"]]) for name in wanted}


class MultiTaskModel(MultiTaskPreTrainedModel):
    """A model of several tasks."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        tasks: Sequence[str] | None = None,
        **inputs: Any,
    ) -> dict[str, Tensor]:
        """Logits by task: [B, C] of a text, [B, L, C] of its sub-words; [B, 1] is a number in its own unit.

        Args:
            input_ids: Tokens [B, L].
            attention_mask: 1 where a token is real [B, L]; null: all are.
            tasks: Names of the tasks wanted; null: all.
            inputs: What else the tokenizer gives.
        """
        return self.logits(input_ids, attention_mask, tasks, **inputs)


class MultiTaskModelForSequenceClassification(MultiTaskPreTrainedModel):
    """A model of one task with an output for a text."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs: Any) -> Any:
        """Logits [B, C] as transformers has them."""
        (logits,) = self.logits(input_ids, attention_mask, **inputs).values()
        return SequenceClassifierOutput(logits=logits)


class MultiTaskModelForTokenClassification(MultiTaskPreTrainedModel):
    """A model of one task with an output for each sub-word."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs: Any) -> Any:
        """Logits [B, L, C] as transformers has them."""
        (logits,) = self.logits(input_ids, attention_mask, **inputs).values()
        return TokenClassifierOutput(logits=logits)
