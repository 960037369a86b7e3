"""All that a run imports, for the process that runs fork from."""
# ruff: noqa: F401

from mtl_lightning.importing import kept_imports

with kept_imports():
    import sklearn.datasets  # the demo
    import wandb.sdk.launch.inputs.internal  # a run of Weights & Biases imports it when it begins

    import mtl_lightning.cli.command
    import mtl_lightning.compare.running.run.recorder
