"""Batches: shuffled, augmented and preprocessed, the same for the same generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnnsearch import catalog
from cnnsearch.config.sections import Data
from cnnsearch.data import Images, TrialData, load, prepare
from cnnsearch.data.images import fingerprint
from cnnsearch.data.preprocess import preprocessing
from cnnsearch.errors import DataError
from cnnsearch.rows import Preprocessor

CPU = torch.device("cpu")


def colours(count: int = 50, height: int = 6, width: int = 5) -> Images:
    """Random RGB images of two classes; image i of a class is found again by its pixels."""
    pixels = np.random.default_rng(0).integers(1, 256, (count, 3, height, width), dtype=np.uint8)
    pixels[:, 1] //= 4
    labels = np.arange(count) % 2
    digest = fingerprint((pixels, labels, None, None), ("a", "b"))
    return Images(pixels, labels, None, None, ("a", "b"), digest)


def trial(images: Images, **fields: object) -> TrialData:
    return prepare(images, Data.model_validate({"name": "digits", **fields}), CPU)


def epoch(data: TrialData, batch_size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(data.batches(batch_size, torch.Generator().manual_seed(seed)))
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def raw(images: Images, index: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(images.train)[index].float()


def test_an_epoch_is_every_training_image_once() -> None:
    images = colours()
    data = trial(images, pixels="raw", preprocess="none")
    got, labels = epoch(data, 8)
    assert got.dtype == torch.float32
    assert labels.dtype == torch.int64
    expected = raw(images, data.train)
    order = [int((expected == image).all((1, 2, 3)).nonzero()) for image in got]
    assert sorted(order) == list(range(45))
    assert order != sorted(order)
    assert labels.tolist() == images.train_labels[data.train[order]].tolist()


def test_the_generator_decides_the_epoch() -> None:
    data = trial(colours(), flip=True, crop=2)
    first, again, other = (epoch(data, 8, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    generator = torch.Generator().manual_seed(1)
    one, two = (torch.cat([x for x, _ in data.batches(8, generator)]) for _ in range(2))
    assert not torch.equal(one, two)


def test_augmentation_leaves_the_order_of_the_images_alone() -> None:
    images = colours()
    plain = epoch(trial(images), 8)[1]
    assert torch.equal(epoch(trial(images, flip=True, crop=1), 8)[1], plain)


def test_without_augmentation_only_the_order_is_drawn() -> None:
    generator, other = (torch.Generator().manual_seed(5) for _ in range(2))
    data = trial(colours())
    list(data.batches(8, generator))
    torch.randperm(data.train_size, generator=other)
    assert torch.equal(generator.get_state(), other.get_state())


def test_flips_are_drawn_for_each_image() -> None:
    images = colours(400)
    plain, flipped = (
        epoch(trial(images, flip=flip, pixels="raw", preprocess="none"), 64)[0]
        for flip in (False, True)
    )
    as_it_was = (flipped == plain).all((1, 2, 3))
    turned = (flipped == plain.flip(3)).all((1, 2, 3))
    assert (as_it_was | turned).all()
    assert 0.4 < turned.float().mean() < 0.6
    assert 0 < turned[:64].sum() < 64


def test_crops_are_windows_of_the_padded_image() -> None:
    images = colours(400)
    plain, cropped = (
        epoch(trial(images, crop=crop, pixels="raw", preprocess="none"), 64)[0] for crop in (0, 2)
    )
    padded = torch.nn.functional.pad(plain, (2, 2, 2, 2))
    found = np.zeros((5, 5), int)
    for image, wide in zip(cropped, padded, strict=True):
        places = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(wide[:, row : row + 6, column : column + 5], image)
        ]
        assert len(places) == 1
        found[places[0]] += 1
    assert found.min() > 0


def test_the_padding_is_black_before_preprocessing() -> None:
    images = colours(200)
    data = trial(images, crop=2, preprocess="channel_mean", pixels="raw")
    mean = raw(images, data.train).mean((0, 2, 3))
    corner = epoch(data, 64)[0][:, :, 0, 0]
    black = corner[(corner < 0.5 - mean).all(1)]
    assert len(black) > 50
    assert torch.allclose(black, -mean.expand_as(black), atol=1e-4)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [
        (22, [22, 22]),  # 45 images: the last one alone is left out
        (44, [44]),
        (20, [20, 20, 5]),
        (45, [45]),
        (1000, [45]),
        (1, [1] * 45),
    ],
)
def test_sizes_of_batches(batch_size: int, sizes: list[int]) -> None:
    data = trial(colours())
    generator = torch.Generator().manual_seed(0)
    assert [len(labels) for _, labels in data.batches(batch_size, generator)] == sizes
    assert data.steps(batch_size) == len(sizes)


def expected_statistics(name: str, train: torch.Tensor) -> torch.Tensor:
    """The definition, in float64: train is [N, C, H, W]."""
    row = catalog.PREPROCESSORS[name]
    train = train.double()
    deviation = train.var((0, 2, 3), correction=0, keepdim=True).sqrt()
    if row.mean == "image":
        train = train - train.mean(0)
    elif row.mean == "channel":
        train = train - train.mean((0, 2, 3), keepdim=True)
    if row.std:
        train = train / deviation
    return train


@pytest.mark.parametrize("pixels", ["unit", "raw"])
@pytest.mark.parametrize("name", catalog.PREPROCESSORS)
def test_preprocessing_is_its_definition(name: str, pixels: str) -> None:
    images = colours()
    data = trial(images, preprocess=name, pixels=pixels)
    scale = 255 if pixels == "unit" else 1
    expected = expected_statistics(name, raw(images, data.train) / scale)
    assert torch.allclose(data.probe(1000)[0].double(), expected, atol=1e-4 / scale, rtol=1e-5)


@pytest.mark.parametrize("mean", [None, "image", "channel"])
def test_a_row_may_divide_whatever_it_subtracts(
    mean: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Preprocessor("divided", "a row of the test's own", mean, std=True)
    monkeypatch.setattr(catalog, "PREPROCESSORS", {**catalog.PREPROCESSORS, row.name: row})
    pixels = torch.from_numpy(colours().train)
    prepared = preprocessing(row.name, "unit", pixels, torch.arange(50))(pixels)
    expected = expected_statistics(row.name, pixels)
    assert torch.allclose(prepared.double(), expected, atol=1e-5)


@pytest.mark.parametrize("name", catalog.PREPROCESSORS)
def test_statistics_are_of_the_training_part_only(name: str) -> None:
    images = colours()
    data = trial(images, limit=20, preprocess=name)
    spoiled = images.train.copy()
    others = np.setdiff1d(np.arange(50), data.train.numpy())
    spoiled[others] = 255
    parts = (spoiled, images.train_labels, None, None)
    other = trial(
        Images(*parts, ("a", "b"), fingerprint(parts, ("a", "b"))), limit=20, preprocess=name
    )
    assert data.train_size == 20
    assert torch.equal(data.probe(20)[0], other.probe(20)[0])


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    pixels = torch.full((10, 1, 4, 4), 7, dtype=torch.uint8)
    prepared = preprocessing("standardize", "unit", pixels, torch.arange(10))(pixels)
    assert torch.equal(prepared, torch.zeros(10, 1, 4, 4))


def test_statistics_do_not_depend_on_chunks() -> None:
    draws = np.random.default_rng(1).integers(0, 256, (9000, 1, 2, 2), dtype=np.uint8)
    measured = preprocessing("standardize", "raw", torch.from_numpy(draws), torch.arange(9000))
    assert measured.mean is not None
    assert measured.mean.item() == pytest.approx(draws.mean(), rel=1e-6)
    assert 1 / measured.factor.item() == pytest.approx(draws.std(), rel=1e-6)


def test_validation_is_neither_shuffled_nor_augmented() -> None:
    images = colours(400)
    data = trial(images, validation=0.5, flip=True, crop=2, pixels="raw", preprocess="none")
    got = list(data.validation_batches(64))
    assert [len(labels) for _, labels in got] == [64, 64, 64, 8]
    assert torch.equal(torch.cat([x for x, _ in got]), raw(images, data.validation))
    labels = torch.cat([y for _, y in got])
    assert labels.tolist() == images.train_labels[data.validation].tolist()
    assert not set(data.validation.tolist()) & set(data.train.tolist())


def test_the_test_set_comes_whole_and_in_order() -> None:
    images = load(Data(name="digits"))
    data = trial(images, preprocess="none", pixels="raw")
    got = list(data.test_batches())
    assert images.test is not None
    assert images.test_labels is not None
    assert torch.equal(torch.cat([x for x, _ in got]), torch.from_numpy(images.test).float())
    assert torch.cat([y for _, y in got]).tolist() == images.test_labels.tolist()
    assert data.test_size == 360


def test_no_test_set_is_said() -> None:
    data = trial(colours())
    assert data.test_size == 0
    with pytest.raises(DataError, match="there is no test set"):
        data.test_batches()


def test_trials_of_a_process_share_what_they_can() -> None:
    one = trial(load(Data(name="digits")), preprocess="none")
    two = trial(load(Data(name="digits")), preprocess="mean_image", flip=True)
    assert one.train.data_ptr() == two.train.data_ptr()
    assert one.shape == two.shape == (1, 8, 8)
    assert one.classes == 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_sees_the_same_images() -> None:
    section = Data(name="digits", flip=True, crop=1)
    images = load(section)
    here, there = (prepare(images, section, torch.device(name)) for name in ("cpu", "cuda"))
    for seed in range(2):
        expected, got = epoch(here, 100, seed), epoch(there, 100, seed)
        assert torch.equal(got[1].cpu(), expected[1])
        assert torch.allclose(got[0].cpu(), expected[0])
