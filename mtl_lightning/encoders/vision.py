"""Vision models of the transformers library."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mtl_lightning.encoders.base import Assets, Representation, State
from mtl_lightning.encoders.images import ImageProcessor, Images, ImagesOfModel
from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.encoders.sensory_models import load_input_settings, load_vision_model
from mtl_lightning.encoders.staged import Stage, StagedEncoder
from mtl_lightning.encoders.timm_models import is_timm_model, num_channels, timm_representation, timm_settings
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.images import Interpolation

_INTERPOLATIONS: Mapping[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""By Pillow's number, which a model's settings have."""


class VisionEncoder(StagedEncoder):
    """A vision model of transformers or timm, pretrained or from scratch: ResNet, ConvNeXt, RegNet, ViT, DINOv2, …

    Its input is ``image`` [B, C, H, W]; see :class:`Images` for how files become that. Its representation is pooled
    [B, features] and has feature maps by stride: those of each stage of a convolutional model, the last one of a
    transformer. Models whose forward pass is that of an embedding and ``encoder.stages`` (ResNet, RegNet, ConvNeXt) can
    be cut between these; others, and all of timm, are run whole. Feature maps behind a cut are what each stage reads
    there: a sharing that mixes or changes what runs between stages does so to the maps.

    Args:
        model: Name on the Hugging Face hub, such as ``timm/resnet18.a1_in1k``, or a folder; null: ``config`` says the
            architecture.
        config: What replaces the model's own settings, or an architecture: ``{model_type: resnet, depths: [2, 2]}``,
            ``{model_type: timm_wrapper, architecture: resnet18}``.
        pretrained: Whether the weights of ``model`` are loaded; false: they are random.
        images: How images are read; what it leaves out is taken from the model.
        pooling: Of a transformer, the ``mean`` over its tokens, or the first one, ``cls``. Models of timm pool as they
            were trained to.
        frozen: Train none of it, and keep its batch normalisation as it is.

    Raises:
        UserError: If there is no such model, or it reads no images alone.
    """

    channel_axis = 1
    processor: ImageProcessor

    def __init__(
        self,
        model: str | None = None,
        config: dict[str, Any] | None = None,
        pretrained: bool = True,
        images: Images | None = None,
        pooling: Literal["mean", "cls"] = "mean",
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.backbone: Any = load_vision_model(model, config, pretrained)
        self.pretrained = model is not None and pretrained
        self.pooling, self.frozen = pooling, frozen
        settings = self.backbone.config
        self._is_timm = is_timm_model(self.backbone)
        self._settings = timm_settings(self.backbone) if self._is_timm else load_input_settings(model, "set `images`")
        own = _images_of(self._settings, getattr(settings, "image_size", None))
        channels = num_channels(self.backbone) if self._is_timm else getattr(settings, "num_channels", 3)
        self.processor = ImageProcessor(images or Images(), channels, own)
        if getattr(self.backbone, "pooler", None) is not None and list(self.backbone.pooler.parameters()):
            self.backbone.pooler = None  # most checkpoints have none, so that it would be random
        self._look()
        self.train()

    def _look(self) -> None:
        """Learns from an image what comes of one, and freezes what has no part in it."""
        parameter = next(self.backbone.parameters())
        plain = self.processor.plain
        image = torch.zeros(1, plain.channels, *plain.size, device=parameter.device)
        self.backbone.eval()
        try:
            with torch.enable_grad():
                found = self({"image": image})
        except UserError:
            raise
        except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
            raise UserError(
                f"{type(self.backbone).__name__} makes no features of an image of {plain.size[0]} x {plain.size[1]}: "
                f"{' '.join(str(error).split())[:200]}; choose another `images.size`, or another model"
            ) from error
        assert found.pooled is not None and found.maps is not None
        self.features = int(found.pooled.shape[1])
        self._map_widths = {stride: int(each.shape[1]) for stride, each in found.maps.items()}
        parameters = [each for each in self.backbone.parameters() if each.requires_grad]
        total = sum((each.sum() for each in (found.pooled, *found.maps.values())), torch.zeros((), device=image.device))
        for each, gradient in zip(parameters, torch.autograd.grad(total, parameters, allow_unused=True), strict=True):
            if gradient is None or self.frozen:
                each.requires_grad_(False)

    def train(self, mode: bool = True) -> "VisionEncoder":
        super().train(mode and not self.frozen)
        return self

    @property
    def map_widths(self) -> dict[int, int]:
        return self._map_widths

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        image = inputs["image"]
        found = self.backbone(pixel_values=image, output_hidden_states=True)
        if self._is_timm:
            return timm_representation(found, image.shape[2])
        last = found.last_hidden_state
        if last.dim() == 3:
            return self._of_tokens(last, image.shape[2], image.shape[3])
        maps = {round(image.shape[2] / each.shape[2]): each for each in (*(found.hidden_states or ()), last)}
        pooled = getattr(found, "pooler_output", None)
        return Representation(last.mean((2, 3)) if pooled is None else pooled.flatten(1), maps=maps)

    def _of_tokens(self, tokens: Tensor, height: int, width: int) -> Representation:
        """Of a transformer, whose last tokens [B, N, D] are the patches of the image, or, as in Swin, joined ones."""
        stride = int(self.backbone.config.patch_size)
        while (height // stride) * (width // stride) > tokens.shape[1]:
            stride *= 2
        rows, columns = height // stride, width // stride
        if self.pooling == "cls" and rows * columns == tokens.shape[1]:
            raise UserError(f"`pooling`: {type(self.backbone).__name__} has no token `cls`; choose `mean`")
        maps = {stride: tokens[:, -rows * columns :].mT.reshape(tokens.shape[0], -1, rows, columns)}
        return Representation(tokens[:, 0] if self.pooling == "cls" else tokens.mean(1), maps=maps)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        nn.Module.compile(self, *args, **kwargs)  # the model is run whole, also one that cannot be cut

    # -- stages ------------------------------------------------------------------------------------------------------
    def begin(self, inputs: dict[str, Tensor]) -> State:
        _ = self.stages
        return State(self._embed(inputs["image"]))

    @cached_property
    def stages(self) -> list["_MappingStage"]:
        """One a stage of the model, and one that pools.

        Raises:
            UserError: If the model has none.
        """
        stages = getattr(getattr(self.backbone, "encoder", None), "stages", None)
        if not isinstance(stages, nn.ModuleList) or self._embed is None:
            raise UserError(
                f"model.sharing: {type(self.backbone).__name__} cannot be cut into stages; choose ResNet, RegNet or "
                "ConvNeXt of transformers, or a sharing that runs the encoder whole, such as HardSharing or MMoE"
            )
        norm = getattr(self.backbone, "layernorm", None)
        pooling = nn.Sequential(_Pool(), nn.Identity() if norm is None else norm)
        return [_MappingStage(stride, each) for stride, each in zip(self._strides(), [*stages, pooling], strict=True)]

    def _strides(self) -> list[int]:
        """Of what each stage reads."""
        plain, parameter = self.processor.plain, next(self.backbone.parameters())
        image = torch.zeros(1, plain.channels, *plain.size, device=parameter.device, dtype=parameter.dtype)
        with in_evaluation(self.backbone), torch.no_grad():
            found = self.backbone(pixel_values=image, output_hidden_states=True).hidden_states
        return [round(plain.size[0] / each.shape[2]) for each in found]

    @property
    def _embed(self) -> Any:
        return getattr(self.backbone, "embedder", None) or getattr(self.backbone, "embeddings", None)

    @property
    def widths(self) -> list[int]:
        stages = [int(width) for width in self.backbone.config.hidden_sizes]
        first = int(getattr(self.backbone.config, "embedding_size", stages[0]))
        return [first, *stages, self.features]

    def end(self, state: State) -> Representation:
        maps = state.context or {}
        return Representation(state.hidden, maps=maps if set(maps) == set(self._map_widths) else None)

    def end_all(self, states: Sequence[State]) -> Representation:
        read = {stage.stride: state.hidden for stage, state in zip(self.stages[1:], states, strict=False)}
        return self.end(states[-1]._replace(context={**(states[-1].context or {}), **read}))

    def layers_by_depth(self) -> list[list[nn.Parameter]]:
        return [list(self._embed.parameters()), *(list(stage.parameters()) for stage in self.stages)]

    # -- checkpoints -------------------------------------------------------------------------------------------------
    def assets(self) -> Assets:
        config = self.backbone.config.to_json_string(use_diff=False)
        files = {"config.json": config, "preprocessor_config.json": json.dumps(self._settings)}
        return Assets(files, {"model": "{folder}", "config": None, "pretrained": False})


class _MappingStage(Stage):
    """A stage that keeps the feature map which it reads, by its stride, in the context of the state.

    Args:
        stride: Of the map.
        layers: See :class:`Stage`.
    """

    def __init__(self, stride: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.stride = stride

    def forward(self, state: State) -> State:
        return super().forward(state._replace(context={**(state.context or {}), self.stride: state.hidden}))


class _Pool(nn.Module):
    """The mean of a feature map [B, C, H, W] over its places [B, C]."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.mean((2, 3))


def _images_of(settings: Mapping[str, Any], size: Any) -> ImagesOfModel:
    """What a model's settings say of its images.

    Args:
        settings: Of its image processor, as transformers writes them; empty: there are none.
        size: Of the images that its architecture reads, if it says one.
    """
    found = settings.get("crop_size") or settings.get("size") or size or 224
    if isinstance(found, Mapping):
        edge = found.get("shortest_edge", 224)
        found = [found.get("height", edge), found.get("width", edge)]
    height, width = (found, found) if isinstance(found, int) else found
    return ImagesOfModel(
        (int(height), int(width)),
        settings.get("image_mean") or (0.5,),
        settings.get("image_std") or (0.5,),
        _INTERPOLATIONS.get(settings.get("resample", 2), "bilinear"),
    )
