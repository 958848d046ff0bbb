"""Checkpoints on the disk: what the training of a trial goes on from when its process has died.

A file begins with a line that names its format and a line with the SHA-256 of the rest; the rest is
what `torch.save` writes, of tensors and plain values only. So a damaged file is known as one before
torch reads any of it: the check sums of torch's own format do not cover all of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cnnsearch import drafts
from cnnsearch.config.config import Config
from cnnsearch.own import file_of
from cnnsearch.records import CHECKPOINT_LINE, Checkpointing, EpochResult, LayerProbe, Probe

FORMAT = 1
_MAGIC = b"cnnsearch checkpoint "
# Where these differ, who reads the log wants to know what was there.
_TOLD = ("torch", "cnnsearch", "processor")


class UnusableError(Exception):
    """Nothing can go on from this file; the text says why."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trial between two epochs.

    Args:
        curve: its epochs so far.
        state: see `cnnsearch.train.Progress.state`.
    """

    curve: Sequence[EpochResult]
    state: Mapping[str, Any]


def identity(config: Config, environment: Mapping[str, Any], fold: int) -> dict[str, str]:
    """What has to be equal for a checkpoint to give the numbers of an unbroken run, by name.

    Args:
        config: of a single run.
        environment: see `cnnsearch.environment`.
    """
    plain = config.plain()
    for name in ("study", "device"):  # the processor tells which device it is
        del plain[name]
    del plain["data"]["root"]
    return {
        "config": json.dumps(plain, sort_keys=True),
        "fold": str(fold),
        "file of one's own": str(
            {name: environment.get(name) for name in map(file_of, config.own_names())}
        ),
        "data set": str(environment["data"]),
        "torch": ".".join(str(environment["torch"]).split(".")[:2]),
        "cnnsearch": str(environment["cnnsearch"]),
        "processor": str(environment["processor"]),
    }


class Checkpoints:
    """Those of one trial, or of a fold of it: the earlier ones to read, its own to write.

    Attributes:
        error: why the first one that could not be written was not; None where there is none.
    """

    def __init__(self, plan: Checkpointing, told: Mapping[str, str]) -> None:
        """Nothing is read or written yet.

        Args:
            told: see `identity`.
        """
        self.error: str | None = None
        self._plan = plan
        self._identity = dict(told)
        self._rows: list[dict[str, Any]] = []

    def earlier(self) -> Iterator[tuple[Path, Checkpoint]]:
        """Those that can be read, the latest attempt's first; of the others the log tells why."""
        for file in map(Path, self._plan.earlier):
            try:
                yield file, read(file, self._identity)
            except FileNotFoundError:
                continue  # that attempt did not come so far
            except (OSError, UnusableError) as error:
                log(f"{file} is not used: {error}")

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether one is to be kept after an epoch of so many."""
        every = self._plan.every
        if every is None:
            return False
        return epoch % every == 0 if epoch < epochs else self._plan.after_last

    def keep(self, curve: Sequence[EpochResult], state: Mapping[str, Any]) -> None:
        """Write one in the place of the one before; where it cannot be written that one stays.

        Args:
            curve: that of the call before, and more; `state`: see `Checkpoint`.
        """
        file = Path(self._plan.file)
        # Each epoch once: after 1,000 of a small network all of them took 100 ms.
        self._rows += [asdict(result) for result in curve[len(self._rows) :]]
        try:
            write(file, self._identity, self._rows, state)
        except OSError as error:
            if self.error is None:
                self.error = error.strerror or type(error).__name__
                log(f"{file} cannot be written, training goes on: {self.error}")


def write(
    file: Path,
    told: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    state: Mapping[str, Any],
) -> None:
    """Write a checkpoint.

    Args:
        told: see `identity`; `state`: see `Checkpoint`.
        rows: its epochs, plain.

    Raises:
        OSError: it cannot be written; nothing is left of it, and what stood there before stays.
    """
    content = {"identity": dict(told), "curve": list(rows), "state": dict(state)}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    rest = buffer.getbuffer()
    with drafts.replacing(file) as written:
        written.write(_MAGIC + b"%d\n" % FORMAT)
        written.write(hashlib.sha256(rest).hexdigest().encode() + b"\n")
        written.write(rest)


def read(file: Path, told: Mapping[str, str]) -> Checkpoint:
    """Read a checkpoint of this very trial.

    Raises:
        UnusableError: it is damaged, or was written by another trial, format or version.
        OSError: there is none, or it cannot be read.
    """
    first, _, after = file.read_bytes().partition(b"\n")
    digest, _, rest = after.partition(b"\n")
    if not first.startswith(_MAGIC):
        raise UnusableError("it is damaged")
    if first != _MAGIC + b"%d" % FORMAT:
        raise UnusableError("it has another format")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise UnusableError("it is damaged")
    try:
        content = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
        stored = dict(content["identity"])
        curve = [_result(row) for row in content["curve"]]
        state = dict(content["state"])
    except Exception as error:  # the pickle, or what is in it, is not what is written here
        raise UnusableError("it holds something else than a checkpoint") from error
    for name, value in told.items():
        if stored.get(name) != value:
            what = f" ({stored.get(name)})" if name in _TOLD else ""
            raise UnusableError(f"it was written with another {name}{what}")
    return Checkpoint(curve, state)


def log(text: str) -> None:
    """Write a line to the trial's log."""
    print(f"{CHECKPOINT_LINE}{text}", file=sys.stderr, flush=True)


def _result(row: Mapping[str, Any]) -> EpochResult:
    probe = row["probe"]
    if probe is not None:
        layers = tuple(LayerProbe(**layer) for layer in probe["layers"])
        probe = Probe(**{**probe, "layers": layers})
    return EpochResult(**{**row, "probe": probe})
