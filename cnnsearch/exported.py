"""A trained network as a file of its own: written, loaded again, and as ONNX.

It takes images as they are, pixels 0..1: what was fitted on the training images is part of it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnsearch import __version__, drafts
from cnnsearch.config import Config, from_plain
from cnnsearch.data import load as load_images
from cnnsearch.data import prepare
from cnnsearch.errors import CnnsearchError, DataError, InputError
from cnnsearch.model import Dropout, Maxout, build, own
from cnnsearch.model.activations import PReLU
from cnnsearch.model.flatten import Flatten
from cnnsearch.weights import fill, read, save

FORMAT = 1
INPUT, OUTPUT = "images", "scores"
"""Names in an ONNX file."""
_OPSET = 18


class Network(nn.Module):
    """A trained network with its preprocessing: images -> scores, one a class.

    Attributes:
        classes: their names, in the order of the scores.
        shape: (C, H, W) of an image.
        config: of the single run that trained it, as plain data.
    """

    mean: Tensor | None
    factor: Tensor

    def __init__(
        self,
        config: Mapping[str, Any],
        shape: tuple[int, int, int],
        classes: tuple[str, ...],
        mean: Tensor | None,
        factor: Tensor,
    ) -> None:
        """Build it; its weights are what the memory holds, until they are loaded.

        Args:
            mean, factor: see `cnnsearch.data.preprocess.Preprocessing`.

        Raises:
            InputError: a layer does not fit.
        """
        super().__init__()
        self.config, self.shape, self.classes = dict(config), shape, classes
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)
        self.layers = _layers(from_plain(config), shape, len(classes))

    def forward(self, images: Tensor) -> Tensor:
        """Scores [B, classes] of images [B, C, H, W]: floats 0..1, or uint8 0..255."""
        pixels = images.float() if images.dtype == torch.uint8 else images * 255
        if self.mean is not None:
            pixels = pixels - self.mean
        scores: Tensor = self.layers(pixels * self.factor)
        return scores


def _layers(config: Config, shape: tuple[int, int, int], classes: int) -> nn.Module:
    if config.model.module is None:
        return build(config.model, shape, classes)
    return own.build(config.model, shape, classes, config.seed)


@dataclass(frozen=True)
class Origin:
    """Where weights come from.

    Args:
        trial: `STUDY/NUMBER`.
        epoch: after which they were kept; None where it is not known.
    """

    trial: str
    epoch: int | None


def of_trial(config: Config, weights: Path, fingerprint: str | None) -> Network:
    """The network of a trial, with the weights that were kept, on the CPU, for evaluation.

    Args:
        config: of its single run.
        weights: the file in its folder.
        fingerprint: of the images it was trained on; their statistics are fitted anew.

    Raises:
        DataError: the images are others, or cannot be read.
        InputError: the weights are none of this network.
        OSError: there are none, or they cannot be read.
    """
    state = read(weights)
    images = load_images(config.data, expected=fingerprint)
    if fingerprint not in (None, images.fingerprint):
        raise DataError("the images in data.root are others than when the study began.")
    data = prepare(images, config.data, torch.device("cpu"))
    fitted = data.preprocessing
    if config.own_names():
        config = config.with_whole_paths()
    network = Network(config.plain(), data.shape, images.classes, fitted.mean, fitted.factor)
    fill(network.layers, state, weights)
    return network.eval()


def write(network: Network, file: Path, origin: Origin) -> None:
    """Write a network as tensors and plain values; `load` reads it.

    Raises:
        OSError: it cannot be written.
    """
    content = {
        "format": FORMAT,
        "cnnsearch": __version__,
        "trial": origin.trial,
        "epoch": origin.epoch,
        "config": json.dumps(network.config),
        "classes": list(network.classes),
        "shape": list(network.shape),
        "mean": network.mean,
        "factor": network.factor,
        "state": dict(network.layers.state_dict()),
    }
    save(content, file)


def load(file: str | Path, run_own: bool = False) -> Network:
    """Load a network that `cnnsearch export --model` wrote, on the CPU, for evaluation.

    The file holds no code. One of a network of the user's own names the file of its code.

    Args:
        run_own: execute the files of code that it names; only for a file that you trust.

    Raises:
        InputError: it is something else, or damaged, or names files of code.
        OSError: it cannot be read.
    """
    path = Path(file)
    content = read(path)
    if content.get("format") != FORMAT:
        raise InputError(f"{path}: is no network of cnnsearch {__version__}, or of another format.")
    try:
        config = json.loads(content["config"])
        named = from_plain(config, str(path)).own_names()
        if named and not run_own:
            raise InputError(f"{path}: needs the code of {', '.join(named)}. Where you trust it, "
                             "write load(FILE, run_own=True).")  # fmt: skip
        channels, height, width = content["shape"]
        network = Network(
            config,
            (channels, height, width),
            tuple(content["classes"]),
            content["mean"],
            content["factor"],
        )
        state = content["state"]
    except CnnsearchError as error:
        raise InputError(
            f"{path}: {error}" if str(path) not in str(error) else str(error)
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is damaged: {error}") from error
    fill(network.layers, state, path)
    return network.eval()


def write_onnx(network: Network, file: Path, origin: Origin) -> None:
    """Write a network as ONNX: `images` float32 [N, C, H, W], 0..1, -> `scores` [N, classes].

    Its metadata hold the classes' names (JSON) and the trial.

    Raises:
        CnnsearchError: torch cannot write this network so.
        OSError: it cannot be written.
    """
    import logging
    import warnings

    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), _legacy_flags():
        # Of torch's exporter about itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        program = _program(plain(network))
    assert program is not None
    model = program.model_proto
    told = {"classes": json.dumps(network.classes), "trial": origin.trial, "cnnsearch": __version__}
    onnx.helper.set_model_props(model, told)
    with drafts.replacing(file) as written:
        written.write(model.SerializeToString())


def _program(network: Network) -> Any:
    """torch's own form of an ONNX file.

    Raises:
        CnnsearchError: a network of the user's own that torch cannot follow.
    """
    try:
        return torch.onnx.export(
            network,
            (torch.rand(2, *network.shape),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
            opset_version=_OPSET,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        said = str(cause).strip().splitlines() or [type(cause).__name__]
        raise CnnsearchError(f"torch cannot write this network as ONNX: {said[0]}") from error


@contextmanager
def _legacy_flags() -> Iterator[None]:
    """torch.export asks for flags by an interface that fails where a trial has set them by another.

    They are cuDNN's; what is traced here is computed on no GPU.
    """
    parts: list[Any] = [torch.backends.cudnn.conv, torch.backends.cudnn.rnn]  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "tf32"
        yield
    finally:
        for part, was in zip(parts, before, strict=True):
            part.fp32_precision = was


def plain(network: Network) -> Network:
    """The same function without gradients of our own, which no other program knows."""
    if from_plain(network.config).model.module is not None:
        return network  # of the user's own: its layers are as they are
    found = Network(network.config, network.shape, network.classes, network.mean, network.factor)
    layers = network.layers.named_children()
    found.layers = nn.Sequential(OrderedDict((name, _plain(layer)) for name, layer in layers))
    return found.eval()


class _Maxout(nn.Module):
    """As `cnnsearch.model.Maxout`, without a gradient of its own."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(x.chunk(self.pieces, dim=1)).amax(0)


def _plain(layer: nn.Module) -> nn.Module:
    if isinstance(layer, Maxout):
        return _Maxout(layer.pieces)
    if isinstance(layer, PReLU):
        same = nn.PReLU()
        same.load_state_dict(layer.state_dict())
        return same
    if isinstance(layer, Flatten):
        return nn.Flatten()
    return nn.Identity() if isinstance(layer, Dropout) else layer
