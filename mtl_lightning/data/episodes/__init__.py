"""Episodes: small tasks of a support set to learn from and a query set to be judged by, drawn from a data set."""

from mtl_lightning.data.episodes.drawing import EpisodeList, EpisodePasses, EpisodeRest
from mtl_lightning.data.episodes.form import Form
from mtl_lightning.data.episodes.pool import Pool
from mtl_lightning.data.episodes.settings import Episodes
from mtl_lightning.data.episodes.supports import Supports

__all__ = ["EpisodeList", "EpisodePasses", "EpisodeRest", "Episodes", "Form", "Pool", "Supports"]
