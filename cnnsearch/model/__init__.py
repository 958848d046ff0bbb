"""The network of a config's `model:` section: built, initialised, measured without running it."""

from cnnsearch.model.activations import Maxout
from cnnsearch.model.dropout import Dropout
from cnnsearch.model.init import draw_weights, expected_squares, initialise
from cnnsearch.model.network import build, weight_layers
from cnnsearch.model.shapes import (
    LayerRow,
    Measured,
    fits,
    layer_table,
    measure,
    shape_error,
)

__all__ = [
    "Dropout",
    "LayerRow",
    "Maxout",
    "Measured",
    "build",
    "draw_weights",
    "expected_squares",
    "fits",
    "initialise",
    "layer_table",
    "measure",
    "shape_error",
    "weight_layers",
]
