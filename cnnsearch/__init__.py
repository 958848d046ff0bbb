"""Choose hyperparameters of a convolutional network from the shell."""

__version__ = "0.1.0"
