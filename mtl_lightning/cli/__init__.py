"""The commands, on LightningCLI; the front that shows help without it is :mod:`mtl_lightning.__main__`."""
