"""Where the short class names of a config are looked up: the families of plug-ins, imported."""

from mtl_lightning import chains, data, encoders, optim, sharing, tasks, weighting

PLUGINS = (chains, data, encoders, optim, sharing, tasks, weighting)
