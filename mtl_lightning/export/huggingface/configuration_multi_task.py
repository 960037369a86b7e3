"""The configuration of a model with one encoder and a head per task. It needs transformers alone."""

from typing import Any, ClassVar

from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig


class MultiTaskConfig(PretrainedConfig):
    """What a multi-task model is made of.

    Args:
        encoder: Configuration of the encoder, with its ``model_type``.
        tasks: By name: ``level`` (``pooled``: a text has one output; ``tokens``: each sub-word has one),
            ``problem_type`` as transformers calls it, ``labels``, ``threshold`` of several labels.
        pooling: How the hidden states of a text become one vector: ``mean``, ``cls`` (the first token) or ``last``.
        sub_word: Which sub-word of a word its label is read at: ``first`` or ``last``.
        kwargs: What configurations have in common.
    """

    model_type = "multi_task"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: Any = None,
        tasks: dict[str, dict[str, Any]] | None = None,
        pooling: str = "mean",
        sub_word: str = "first",
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder, dict):
            encoder = CONFIG_MAPPING[encoder["model_type"]](**encoder)
        self.encoder = encoder
        self.tasks = tasks or {}
        self.pooling = pooling
        self.sub_word = sub_word
        super().__init__(**kwargs)
