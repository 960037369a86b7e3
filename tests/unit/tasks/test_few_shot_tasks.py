"""Tasks whose classes are others in each episode."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from mtl_lightning.encoders import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import IGNORE, FewShotClassification, PrototypicalClassification
from mtl_lightning.tasks.prototypical import means_by_label

LABELS = torch.tensor([0, 0, 1, 1, 2, IGNORE])


def test_logits_are_distances_to_the_means_of_the_support_set_but_for_a_constant() -> None:
    task, support, queries = PrototypicalClassification(), torch.randn(6, 5), torch.randn(4, 5)
    task.build(5)
    means = torch.stack([support[label == LABELS].mean(0) for label in range(3)])
    found = task.on_support(task(Representation(queries)), support, LABELS)
    assert torch.allclose(found, -torch.cdist(queries, means).square(), atol=1e-4)
    assert torch.allclose(means_by_label(support[:5], LABELS[:5]), means)


def test_logits_may_be_cosines() -> None:
    task, support, queries = PrototypicalClassification(distance="cosine"), torch.randn(2, 5), torch.randn(4, 5)
    task.build(5)
    found = task.on_support(queries, support, torch.arange(2))
    assert torch.allclose(found, 10 * cosine_similarity(queries[:, None], support[None], dim=-1), atol=1e-5)


def test_a_class_is_the_same_number_in_whatever_table_and_spelling_of_a_number() -> None:
    task = PrototypicalClassification()
    assert task.encode("3.0") == task.encode(3) != task.encode("4")
    assert task.encode("") == IGNORE
    assert 0 <= task.encode("a") < 2**63


def test_a_task_of_episodes_has_no_names_to_predict() -> None:
    task = FewShotClassification(2)
    task.build(3)
    with pytest.raises(UserError, match="knows the classes of an episode alone"):
        task.decode(torch.zeros(1, 2), None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FewShotClassification(1), "`ways` must be at least 2, found 1"),
        (lambda: FewShotClassification(2, label_smoothing=1.5), "label_smoothing"),
        (lambda: PrototypicalClassification(embedding=0), "`embedding` must be at least 1, found 0"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        make()
