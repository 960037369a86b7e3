"""Tasks that label pixels: what counts, what is said of labels that cannot be, and metrics against their formulas."""

import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import cross_entropy

from mtl_lightning.array_files import packed
from mtl_lightning.data import FileSource
from mtl_lightning.data.collation import StepDataset, stack
from mtl_lightning.data.examples import relabelled
from mtl_lightning.data.sampler import Rows
from mtl_lightning.encoders import PerceptronEncoder, Representation, UNetEncoder
from mtl_lightning.encoders.images import Images
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.augmentation import ColorJitter, RandomAffine, RandomResizedCrop
from mtl_lightning.tasks import DenseBinary, DenseTask, DepthEstimation, SemanticSegmentation, SurfaceNormals
from mtl_lightning.tasks.dense.decoders import DECODERS
from mtl_lightning.tasks.dense.pixel_metrics import Median
from mtl_lightning.training.empty_states import give_types

H, W = 3, 4
IMAGE = {"image": np.zeros((3, H, W))}


def targets_of(task: DenseTask, labels: list[Any]) -> Tensor:
    return stack([task.fit(task.encode(label), IMAGE) for label in labels], task.missing)


def drawn(kind: str, number: int) -> list[np.ndarray]:
    """Labels, of which some pixels have none; the batches of one differ in how many."""
    random = np.random.default_rng(0)
    depth = random.uniform(0.5, 9, (number, H, W)) * (random.random((number, H, W)) < 0.7)
    if kind == "depth":
        return list(depth)
    if kind == "normals":
        return list(random.normal(size=(number, H, W, 3)) * (depth > 0)[..., None])
    return list(np.where(depth > 0, random.integers(0, 3, (number, H, W)), -1))


TASKS: Mapping[str, Callable[..., DenseTask]] = {
    "classes": lambda **more: SemanticSegmentation(3, metrics=["miou", "pixel_accuracy", "class_accuracy"], **more),
    "depth": lambda **more: DepthEstimation(2.0, metrics=["abs_err", "rel_err", "rmse"], **more),
    "normals": lambda **more: SurfaceNormals(**more),
}


def formulas(kind: str, logits: Tensor, targets: Tensor) -> dict[str, float]:
    """The metrics, computed by NumPy from the numbers themselves."""
    found, wanted = logits.double().numpy(), targets.double().numpy()
    if kind == "classes":
        present = wanted >= 0
        predicted, true = found.argmax(1)[present], wanted[present]
        shares = [np.mean((predicted == c) & (true == c)) / np.mean((predicted == c) | (true == c)) for c in range(3)]
        right = [np.mean(predicted[true == c] == c) for c in range(3)]
        values = {"miou": np.mean(shares), "pixel_accuracy": np.mean(predicted == true)}
        return {**values, "class_accuracy": np.mean(right)}
    if kind == "depth":
        present = ~np.isnan(wanted)
        error, true = (found[:, 0] + 2.0 - wanted)[present], wanted[present]
        size = np.abs(error)
        return {"abs_err": size.mean(), "rel_err": (size / true).mean(), "rmse": np.sqrt(np.square(error).mean())}
    present = ~np.isnan(wanted).any(1)
    one, other = (np.moveaxis(each, 1, -1)[present] for each in (found, wanted))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    angle = np.degrees(np.arccos(cosine))
    shares = {f"within_{str(limit).replace('.', '_')}": np.mean(angle < limit) for limit in (11.25, 22.5, 30)}
    return {"mean_angle": angle.mean(), "median_angle": np.median(angle), **shares}


def near(targets: Tensor, task: DenseTask) -> Tensor:
    """Logits that are right in some pixels."""
    torch.manual_seed(0)
    logits = torch.randn(len(targets), task.num_outputs, H, W)
    return logits + 2 * targets.nan_to_num() if isinstance(task, SurfaceNormals) else logits


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("cuts", [[7], [1, 3, 2, 1]], ids=["one-batch", "several"])
def test_metrics_are_over_all_labelled_pixels(kind: str, cuts: list[int]) -> None:
    task = TASKS[kind]()
    targets = targets_of(task, drawn(kind, 7))
    logits = near(targets, task)
    metrics = task.metrics()
    for part in zip(logits.split(cuts), targets.split(cuts), strict=True):
        task.update(metrics, *part)
    assert {name: value.item() for name, value in metrics.compute().items()} == pytest.approx(
        formulas(kind, logits, targets), rel=1e-5
    )


@pytest.mark.parametrize("kind", TASKS)
def test_batch_means_are_means_of_each_batchs_value(kind: str) -> None:
    task, cuts = TASKS[kind](convention="batch_means"), [4, 5, 4]
    targets = targets_of(task, drawn(kind, 13))
    logits = near(targets, task)
    metrics = task.metrics()
    batches = list(zip(logits.split(cuts), targets.split(cuts), strict=True))
    for part in batches:
        task.update(metrics, *part)
    task.update(metrics, logits[:1], torch.full_like(targets[:1], task.missing))  # a batch without a label
    each = [formulas(kind, *part) for part in batches]
    expected = {name: np.mean([values[name] for values in each]) for name in each[0]}
    found = {name: value.item() for name, value in metrics.compute().items()}
    assert found == pytest.approx(expected, rel=1e-5)
    assert found != pytest.approx(formulas(kind, logits, targets), rel=1e-5)


def test_the_median_is_that_of_all_processes() -> None:
    there = torch.tensor([9.0, 3.0, 4.0])
    gather = {"dist_sync_fn": lambda own, group=None: [own, there], "distributed_available_fn": lambda: True}
    here = Median(**gather)
    here.update(torch.tensor([1.0, 2.0]))
    assert here.compute().item() == 3.0


def test_losses_are_means_over_labelled_pixels() -> None:
    labels = {"classes": [[[0, 2, -1, 255]] * H], "depth": [[[0, 1, math.nan, 3]] * H]}
    labels["normals"] = [[[[0, 0, 0], [0, 0, 2], [1, 1, 0], [math.nan, 0, 1]]] * H]
    logits = torch.randn(1, 3, H, W)
    segmentation, depth, normals = SemanticSegmentation(3), DepthEstimation(2.0), SurfaceNormals()
    flat = logits[0, :, :, :2].flatten(1).T
    expected = cross_entropy(flat, torch.tensor([0, 2] * H))
    assert segmentation.loss(logits, targets_of(segmentation, labels["classes"])) == pytest.approx(expected.item())
    predicted = logits[0, 0][:, [1, 3]] + 2
    expected = (predicted - torch.tensor([1.0, 3.0])).abs().mean()
    assert depth.loss(logits[:, :1], targets_of(depth, labels["depth"])) == pytest.approx(expected.item())
    unit = logits[0] / logits[0].norm(dim=0)
    cosines = torch.stack([unit[2, :, 1], (unit[0, :, 2] + unit[1, :, 2]) / math.sqrt(2)])
    assert normals.loss(logits, targets_of(normals, labels["normals"])) == pytest.approx(1 - cosines.mean().item())


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        (
            SemanticSegmentation(3),
            [[0, 1], [2, 3]],
            r"class 3 in row 2, column 2 of the image is out of range; .* 0 to 2",
        ),
        (SemanticSegmentation(3), [[0.5, 1]], "expected whole numbers of classes, found 0.5 in row 1, column 1"),
        (
            SemanticSegmentation(3),
            "a.txt",
            r"expected the path of a .npy file or a PNG, or lists of lists of numbers, found 'a.txt'",
        ),
        (SemanticSegmentation(3), "none.npy", r"file none.npy is not there"),
        (SemanticSegmentation(3), b"\x93NUMPY", "array cannot be read"),
        (SemanticSegmentation(3), [1, 2], r"expected an array \[height, width\], found one of shape \[2\]"),
        (DepthEstimation(2.0), [[1, -2.5]], "depth -2.5 in row 1, column 2 of the image is negative"),
        (SurfaceNormals(), [[1, 2]], r"expected an array \[height, width, 3\], found one of shape \[1, 2\]"),
        (DenseBinary(), [[0, 7]], "expected 0 and 1, or 0 and 255, found 7 in row 1, column 2"),
    ],
)
def test_labels_that_cannot_be_are_one_line(task: DenseTask, label: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task.encode(label)


def test_a_label_of_another_size_than_the_image_is_refused() -> None:
    task = DepthEstimation(2.0)
    with pytest.raises(UserError, match="the label is 1 x 2 pixels, the image 3 x 4"):
        task.fit(task.encode([[1, 2]]), IMAGE)
    with pytest.raises(UserError, match=r"is 4 x 3 pixels, the image 3 x 4 .*; turn one of them, .* \(EXIF\)"):
        task.fit(task.encode([[1, 2, 3]] * 4), IMAGE)
    with pytest.raises(UserError, match="labels of 1 x 2 pixels for images of 3 x 4"):
        task.loss(torch.zeros(1, 1, H, W), torch.ones(1, 1, 2))


def test_labels_may_be_arrays_files_or_bytes(tmp_path: Any) -> None:
    array = np.arange(12.0).reshape(H, W, 1)
    np.save(tmp_path / "a.npy", array)
    task = DepthEstimation(2.0)
    for label in (array, array[..., 0].tolist(), str(tmp_path / "a.npy"), packed(array)):
        np.testing.assert_array_equal(task.encode(label), np.where(array > 0, array, np.nan)[..., 0])
    source = FileSource({"train": "a.parquet"}, {"image": "image"}, {"depth": "depth"}, root=str(tmp_path))
    for of_hub in ({"bytes": packed(array), "path": "b.npy"}, {"bytes": None, "path": "a.npy"}):
        found = task.encode(relabelled(source, "depth", task, of_hub))
        np.testing.assert_array_equal(found, np.where(array > 0, array, np.nan)[..., 0])
    assert task.encode(relabelled(source, "depth", task, {"bytes": None, "path": None})) is None


def test_short_normals_are_none_in_images_alone(tmp_path: Any) -> None:
    array = np.full((H, W, 3), 0.01, np.float32)
    np.save(tmp_path / "a.npy", array)
    for label in (array, packed(array), str(tmp_path / "a.npy")):
        np.testing.assert_allclose(SurfaceNormals().encode(label), 1 / math.sqrt(3), rtol=1e-5)


def test_names_of_classes_differ() -> None:
    with pytest.raises(UserError, match="`classes` names a class twice, 'b'"):
        SemanticSegmentation(["a", "b", "b"])


def test_an_encoder_without_maps_is_refused() -> None:
    with pytest.raises(UserError, match="DepthEstimation reads feature maps, which PerceptronEncoder does not give"):
        DepthEstimation().meet(PerceptronEncoder(3, [4]))


@pytest.mark.parametrize("architecture", DECODERS)
@pytest.mark.parametrize("training", [True, False])
def test_heads_read_maps_of_several_strides_and_odd_sizes(architecture: Any, training: bool) -> None:
    task = SemanticSegmentation(5, architecture=architecture, width=4)
    task._map_widths = {2: 3, 4: 6, 8: 2}
    task.build(3)
    task.train(training)
    maps = {s: torch.randn(1, c, -(-9 // s), -(-13 // s)) for s, c in task._map_widths.items()}
    logits = task(Representation(maps=maps, given={"image": torch.zeros(1, 3, 9, 13)}))
    assert logits.shape == (1, 5, 9, 13)
    gradients = torch.autograd.grad(logits.square().sum(), list(task.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_predictions_are_in_the_units_of_the_labels() -> None:
    logits = torch.tensor([[[[0.0]], [[3.0]], [[4.0]]]])
    assert SemanticSegmentation(3).decode(logits, None) == [{"classes": [[2]]}]
    assert DepthEstimation(2.0).decode(logits[:, 1:2], None) == [{"depth": [[5.0]]}]
    assert SurfaceNormals().decode(logits, None) == [{"normals": [[[0.0, 0.6, 0.8]]]}]
    assert DenseBinary().decode(logits[:, :1], None) == [{"probabilities": [[0.5]]}]


@pytest.mark.parametrize("kind", TASKS)
def test_a_process_without_a_label_gathers_what_others_have(kind: str) -> None:
    task = TASKS[kind]()
    task._map_widths = {1: 2}
    task.build(2)
    metrics = task.metrics()
    give_types(metrics, task)
    assert all(state.dtype == torch.float32 for state in metrics["median_angle"].value) if kind == "normals" else True
    assert task.lower_is_better <= set(task.catalogue()), "Δm takes directions from it"


TURNS: Mapping[str, DenseTask] = {"depth": DepthEstimation(2.0), "normals": SurfaceNormals()}


def dataset_of(processor: Any, image: Any, depth: Any, normals: Any, number: int = 8) -> StepDataset:
    """Examples of one image with its depth and normals, as a worker gets them."""
    images = processor.encode({"image": [image] * number})["image"]
    fitted = {
        name: task.fit(task.encode(label), {"image": images[0]})
        for (name, task), label in zip(TURNS.items(), (depth, normals), strict=True)
    }
    columns = {"row": [*range(number)], "length": [1] * number, "inputs/image": images}
    table = Dataset.from_dict({**columns, **{f"targets/{name}": [each] * number for name, each in fitted.items()}})
    of_pixels = {name: type(task).moved for name, task in TURNS.items()}
    missing = dict.fromkeys(TURNS, math.nan)
    found: StepDataset = pickle.loads(pickle.dumps(StepDataset({"d": table}, processor, missing, of_pixels)))
    return found


def batch_of(dataset: StepDataset, epoch: int | None) -> Any:
    return dataset[{"d": Rows([*range(8)], {}, key=None if epoch is None else (0, epoch, 0))}]["d"]


def test_labels_are_mirrored_with_their_image() -> None:
    label, vectors = np.arange(1.0, 13).reshape(H, W), np.random.default_rng(0).normal(size=(H, W, 3))
    dataset = dataset_of(UNetEncoder(1, [2, 3], flip=0.5).processor, label, label, vectors)
    plain, first = batch_of(dataset, None), batch_of(dataset, 0)
    turned = (first.inputs["image"] != plain.inputs["image"]).flatten(1).any(1)
    assert turned.any() and not turned.all()
    torch.testing.assert_close(first.inputs["image"][turned], plain.inputs["image"][turned].flip(-1))
    torch.testing.assert_close(first.targets["depth"], first.inputs["image"][:, 0])
    signs = torch.tensor([-1.0, 1, 1]).view(3, 1, 1)
    torch.testing.assert_close(first.targets["normals"][turned], plain.targets["normals"][turned].flip(-1) * signs)
    torch.testing.assert_close(first.targets["normals"][~turned], plain.targets["normals"][~turned])
    assert torch.equal(batch_of(dataset, 0).inputs["image"], first.inputs["image"])
    assert not torch.equal(batch_of(dataset, 1).inputs["image"], first.inputs["image"])
    with pytest.raises(UserError, match="`flip` must be from 0 to 1, found 2"):
        UNetEncoder(flip=2)


def test_a_crop_takes_labels_along_and_brings_depth_nearer() -> None:
    ramp = np.tile(np.arange(1.0, 41) / 40, (40, 1))
    depth = np.where(np.eye(40), 0, ramp)
    crop = RandomResizedCrop((0.25, 0.25), (1.0, 1.0))
    dataset = dataset_of(UNetEncoder(1, [2, 3], augment=[crop]).processor, ramp, depth, np.ones((40, 40, 3)))
    found, plain = batch_of(dataset, 0), batch_of(dataset, None)
    torch.testing.assert_close(plain.targets["depth"][0].nan_to_num(), torch.from_numpy(depth).float())
    measured = ~found.targets["depth"].isnan()
    assert 0.9 < measured.float().mean() < 1 and not measured.all(), "what is not measured stays so"
    nearer = found.targets["depth"] * 2
    torch.testing.assert_close(nearer[measured], found.inputs["image"][:, 0][measured], atol=0.03, rtol=0)


@pytest.mark.parametrize(("fit", "larger"), [("crop", math.sqrt(2)), ("stretch", 2), ("pad", math.sqrt(8))])
def test_labels_of_image_files_are_fitted_as_images_are(fit: Any, larger: float) -> None:
    """A quarter of 30 x 60 pixels becomes 20 x 20, which are 30 x 30, 30 x 60 or 60 x 60 without a random change."""
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (30, 1))
    crop = RandomResizedCrop((0.25, 0.25), (2.0, 2.0))
    images = Images(20, fit, crop_fraction=1.0 if fit == "pad" else 0.8, mean=[0], std=[1], augment=[crop])
    encoder = UNetEncoder(1, [2, 3], flip=0.5, images=images)
    dataset = dataset_of(encoder.processor, ramp, ramp / 255.0, np.ones((30, 60, 3)))
    for epoch in (None, 0):
        batch = batch_of(dataset, epoch)
        image, depth, normals = batch.inputs["image"][:, 0], batch.targets["depth"], batch.targets["normals"]
        measured = ~depth.isnan()
        zoom = 1.0 if epoch is None else larger
        inner = measured & (image < 0.9)
        torch.testing.assert_close((depth * zoom)[inner], image[inner], atol=0.05, rtol=0)
        assert depth.shape == (8, 20, 20) and normals.shape == (8, 3, 20, 20)
        assert normals.isnan().any().item() == (fit == "pad" and epoch is None), "added white has no label"


def test_changes_that_labels_cannot_follow_are_refused() -> None:
    crops = [RandomResizedCrop(), ColorJitter(0.5), RandomAffine(translate=(0.1, 0.1))]
    DepthEstimation().meet(UNetEncoder(3, [2, 3], augment=crops))
    with pytest.raises(UserError, match="do not follow an image that RandomAffine turns; give it `degrees: 0`"):
        DepthEstimation().meet(UNetEncoder(3, [2, 3], images=Images(8, augment=[RandomAffine(degrees=5)])))
    with pytest.raises(UserError, match=r"of image files, name changes as `images\.augment`"):
        UNetEncoder(images=Images(8), augment=crops)
