"""Encoders of tables, one file each."""

from mtl_lightning.encoders.tables.cross_network import TableCrossNetwork
from mtl_lightning.encoders.tables.factorization_machine import TableFactorizationMachine
from mtl_lightning.encoders.tables.perceptron import TablePerceptron
from mtl_lightning.encoders.tables.transformer import TableTransformer

__all__ = ["TableCrossNetwork", "TableFactorizationMachine", "TablePerceptron", "TableTransformer"]
