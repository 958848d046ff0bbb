"""A trial's network, trained, as a file of its own, and the program that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnsearch.commands.files import check_target
from cnnsearch.commands.kept import kept_weights
from cnnsearch.commands.references import Picked, config_of, pick_one, with_curve
from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.render.talk import say

if TYPE_CHECKING:
    from cnnsearch.config import Config

_TORCH = """\
import torch

from cnnsearch import exported

model = exported.load({file!r}{own})
images = torch.rand(8, {shape})  # [N, C, H, W], pixels 0..1, or uint8 0..255
with torch.inference_mode():
    scores = model(images)
print([model.classes[place] for place in scores.argmax(1)])
"""
_ONNX = """\
import json

import numpy as np
import onnxruntime  # pip install onnxruntime

session = onnxruntime.InferenceSession({file!r})
images = np.random.rand(8, {shape}).astype(np.float32)  # [N, C, H, W], pixels 0..1
[scores] = session.run(["scores"], {{"images": images}})
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print([classes[place] for place in scores.argmax(1)])
"""
_PROGRAMS = {".pt": _TORCH, ".onnx": _ONNX}


def to_model(storage: str, references: Sequence[str], file: Path, force: bool) -> None:
    """Write the network of a trial with the weights that its search kept."""
    if file.suffix not in _PROGRAMS:
        raise InputError(f"--model {file}: write a name that ends in .pt or .onnx.")
    check_target(file, "best.pt", force, "--model")
    if file.suffix == ".onnx":
        _check_onnx()
    picked = with_curve(storage, pick_one(storage, references))
    weights, config = kept_weights(picked), config_of(picked)
    _check_code(picked, config)
    from cnnsearch import exported
    from cnnsearch.study import attributes, read

    found = read.study_attributes(storage, picked.summary.name) or {}
    try:
        network = exported.of_trial(config, weights, found.get(attributes.FINGERPRINT))
    except OSError as error:
        raise CnnsearchError(f"{weights}: {error.strerror}.") from error
    epoch = picked.trial.facts.get("weights_epoch")
    origin = exported.Origin(picked.label, epoch)
    write = exported.write_onnx if file.suffix == ".onnx" else exported.write
    try:
        write(network, file.resolve(), origin)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}. Write another path.") from error
    after = "" if epoch is None else f" after epoch {epoch}"
    wrote = f"Wrote {file}: {picked.label}{after}"
    say(f"{wrote}. It takes images as they are, pixels 0..1; to use it:")
    from cnnsearch.render import output

    shape = ", ".join(map(str, network.shape))
    own = ", run_own=True" if config.own_names() else ""
    output.write_raw(_PROGRAMS[file.suffix].format(file=str(file), shape=shape, own=own))


def _check_onnx() -> None:
    from importlib.util import find_spec

    from cnnsearch.errors import MissingExtraError

    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise MissingExtraError(
            "--model FILE.onnx needs onnx. Run: pip install 'cnnsearch[onnx]', or write FILE.pt."
        )


def _check_code(picked: Picked, config: Config) -> None:
    """That files of the user's own are as they were when the trial ran.

    Raises:
        InputError: one has changed, or cannot be read.
    """
    from cnnsearch.own import digests

    then = picked.trial.facts.get("environment") or {}
    for file, digest in digests(config.own_names()).items():
        if then.get(file, digest) != digest:
            raise InputError(f"{picked.label}: {file} has changed since: its weights may not fit.")
