"""Batches for one trial: the whole data set is one tensor on the device, a batch is one index.

The images stay uint8: on the CPU the tensor is the memory map itself, which all processes share;
elsewhere it is copied once. What trials have in common (tensors, split, statistics) is kept for the
next trial of the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from cnnsearch.config.sections import Data
from cnnsearch.data.augment import Augmentation, Draws
from cnnsearch.data.images import Images
from cnnsearch.data.preprocess import Preprocessing, preprocessing
from cnnsearch.data.split import Split, split
from cnnsearch.errors import DataError

Batch = tuple[Tensor, Tensor]

# Images of a batch where nothing is trained. On a CPU larger ones fall out of the caches: 2,048
# images of 32x32x3 through conv 32-64 took 0.31 s of one core, 0.53 s in batches of 1,024; with
# maxout and batch norm 0.95 s and 1.40 s, and the peak of memory was 0.63 and 1.13 GB.
_EVALUATED_ON_CPU, _EVALUATED_ELSEWHERE = 128, 2048


@dataclass(eq=False)
class Epoch:
    """The training images in the orders of T trials.

    Args:
        pixels: all training images uint8 [N, C, H, W]; `labels`: theirs, int64 [N].
        rows: the order of each trial, int64 [T, n], indices of `pixels`.
        bounds: of the batches, in the orders.
    """

    pixels: Tensor
    labels: Tensor
    rows: Tensor
    draws: Draws
    preprocessing: Preprocessing
    bounds: Sequence[tuple[int, int]]

    def batches(self) -> Iterator[Batch]:
        """Images float32 [T, B, C, H, W] and labels int64 [T, B], shuffled and augmented."""
        for start, end in self.bounds:
            rows = self.rows[:, start:end]
            images = self.draws.apply(self.pixels[rows.reshape(-1)], start, end)
            yield self.preprocessing(images).view(*rows.shape, *images.shape[1:]), self.labels[rows]

    def keep(self, trials: Tensor) -> None:
        """Go on with some trials only, int64 [T'], from the next batch on."""
        self.rows, self.draws = self.rows[trials], self.draws.keep(trials)


@dataclass(frozen=True, eq=False)
class TrialData:
    """The images of one trial, on its device.

    Args:
        shape: (C, H, W).
        classes: their number.
        train_size: images trained on.
        validation_size: images of the validation split.
        test_size: images of the test set, 0 without one.
        images: where they come from.
        train: training images in split order, int64 [train_size], on the device.
        validation: likewise.
    """

    shape: tuple[int, int, int]
    classes: int
    train_size: int
    validation_size: int
    test_size: int
    images: Images
    device: torch.device
    train: Tensor
    validation: Tensor
    preprocessing: Preprocessing
    augmentation: Augmentation

    def steps(self, batch_size: int) -> int:
        """Batches of an epoch."""
        return len(_bounds(self.train_size, batch_size))

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """One epoch: images float32 [B, C, H, W] and labels int64 [B], shuffled and augmented.

        A batch size above the training part means the whole part. The last batch may be smaller;
        if it would hold a single image it is left out, as batch norm can do nothing with it (the
        next epoch leaves out another one).

        Args:
            generator: of the CPU. The epoch's order is drawn first, then its augmentation, so that
                all devices see the same images.
        """
        for images, labels in self.epoch(batch_size, [generator]).batches():
            yield images[0], labels[0]

    def epoch(self, batch_size: int, generators: Sequence[torch.Generator]) -> Epoch:
        """One epoch for T trials that take their steps together, each by its own generator."""
        pixels, labels = _on_device(self.images, self.device)
        # Trial by trial, as if each were alone: its order first, then its augmentation.
        orders, draws = [], []
        for generator in generators:
            orders.append(torch.randperm(self.train_size, generator=generator))
            draws.append(self.augmentation.draw(self.train_size, generator))
        rows = self.train[torch.stack(orders).to(self.device)]
        bounds = _bounds(self.train_size, batch_size)
        stacked = Draws.stack(draws).to(self.device)
        return Epoch(pixels, labels, rows, stacked, self.preprocessing, bounds)

    @property
    def evaluation_batch(self) -> int:
        """Images of a batch where nothing is trained, unless asked for otherwise."""
        return _EVALUATED_ON_CPU if self.device.type == "cpu" else _EVALUATED_ELSEWHERE

    def validation_batches(self, size: int | None = None) -> Iterator[Batch]:
        """The validation split, in a fixed order, not augmented."""
        pixels, labels = _on_device(self.images, self.device)
        size = size or self.evaluation_batch
        for rows in torch.split(self.validation, size) if self.validation_size else ():
            yield self.preprocessing(pixels[rows]), labels[rows]

    def test_batches(self) -> Iterator[Batch]:
        """The test set, in its own order; who calls this adds a reading (`readings`).

        Raises:
            DataError: the data set has no test set.
        """
        if self.images.test is None or self.images.test_labels is None:
            raise DataError("data.root: there is no test set. Add a folder test/ beside train/.")
        images = torch.split(torch.from_numpy(self.images.test), self.evaluation_batch)
        labels = torch.split(torch.from_numpy(self.images.test_labels), self.evaluation_batch)
        return (
            (self.preprocessing(some.to(self.device)), theirs.to(self.device))
            for some, theirs in zip(images, labels, strict=True)
        )

    def probe(self, count: int) -> Batch:
        """The first training images in split order, not augmented; at most all of them."""
        pixels, labels = _on_device(self.images, self.device)
        rows = self.train[:count]
        return self.preprocessing(pixels[rows]), labels[rows]

    def chance(self) -> float:
        """Accuracy of always guessing the validation split's most frequent class, 0..1."""
        _, labels = _on_device(self.images, self.device)
        counts = torch.bincount(labels[self.validation], minlength=self.classes)
        return int(counts.max()) / max(1, self.validation_size)


def prepare(
    images: Images, section: Data, device: torch.device, fold: int = 0, whole: bool = False
) -> TrialData:
    """Split a data set and prepare it for one trial.

    Args:
        fold: of several folds that which is validated on, from 0.
        whole: train on the validation split too; the validation split is then empty.

    Raises:
        DataError: see `cnnsearch.data.check_split`.
    """
    how = Split.of(section, fold, whole)
    train, validation = _parts(images, how)
    return TrialData(
        shape=images.shape,
        classes=len(images.classes),
        train_size=len(train),
        validation_size=len(validation),
        test_size=0 if images.test is None else len(images.test),
        images=images,
        device=device,
        train=train.to(device),
        validation=validation.to(device),
        preprocessing=_measured(images, how, section.preprocess, section.pixels).to(device),
        augmentation=Augmentation(section.flip, section.crop),
    )


def _bounds(total: int, batch_size: int) -> list[tuple[int, int]]:
    size = min(batch_size, total)
    bounds = [(start, min(start + size, total)) for start in range(0, total, size)]
    return bounds[:-1] if size > 1 and total % size == 1 else bounds


# Images are equal by fingerprint, so a data set that was loaded again finds what is kept here.


@lru_cache(maxsize=2)
def _on_device(images: Images, device: torch.device) -> Batch:
    """All training images uint8 [N, C, H, W] and labels [N]; without a copy on the CPU."""
    pixels = torch.from_numpy(images.train)
    return pixels.to(device), torch.from_numpy(images.train_labels).to(device)


@lru_cache(maxsize=16)
def _parts(images: Images, how: Split) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation part."""
    validation, train = split(images, how)
    return torch.from_numpy(train), torch.from_numpy(validation)


@lru_cache(maxsize=16)
def _measured(images: Images, how: Split, preprocess: str, pixels: str) -> Preprocessing:
    train, _ = _parts(images, how)
    return preprocessing(preprocess, pixels, torch.from_numpy(images.train), train)
