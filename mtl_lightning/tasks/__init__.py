"""Tasks: head, loss, metrics and decoding of one prediction problem, one file a type."""

from mtl_lightning.tasks.base import IGNORE, Task
from mtl_lightning.tasks.causal_lm import CausalLM
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.dense import DenseBinary, DenseTask, DepthEstimation, SemanticSegmentation, SurfaceNormals
from mtl_lightning.tasks.dependency_parsing import DependencyParsing
from mtl_lightning.tasks.evaluated import LOSS, LabelScores
from mtl_lightning.tasks.few_shot import EpisodicClassification, FewShotClassification
from mtl_lightning.tasks.multi_label_classification import MultiLabelClassification
from mtl_lightning.tasks.multiple_choice import MultipleChoice
from mtl_lightning.tasks.prototypical import PrototypicalClassification
from mtl_lightning.tasks.ranking import Ranking
from mtl_lightning.tasks.regression import Regression
from mtl_lightning.tasks.relation_classification import RelationClassification
from mtl_lightning.tasks.seq2seq import Seq2Seq
from mtl_lightning.tasks.sequence_classification import SequenceClassification
from mtl_lightning.tasks.similarity_regression import SimilarityRegression
from mtl_lightning.tasks.span_f1 import SpanCounts, SpanScore
from mtl_lightning.tasks.span_question_answering import SpanQuestionAnswering
from mtl_lightning.tasks.token_classification import TokenClassification
from mtl_lightning.tasks.token_multi_label_classification import TokenMultiLabelClassification

__all__ = [
    "IGNORE",
    "LOSS",
    "CausalLM",
    "DenseBinary",
    "DenseTask",
    "DependencyParsing",
    "DepthEstimation",
    "EpisodicClassification",
    "Features",
    "FewShotClassification",
    "LabelScores",
    "MultiLabelClassification",
    "MultipleChoice",
    "PrototypicalClassification",
    "Ranking",
    "Regression",
    "RelationClassification",
    "SemanticSegmentation",
    "Seq2Seq",
    "SequenceClassification",
    "SimilarityRegression",
    "SpanCounts",
    "SpanQuestionAnswering",
    "SpanScore",
    "SurfaceNormals",
    "Task",
    "TokenClassification",
    "TokenMultiLabelClassification",
]
