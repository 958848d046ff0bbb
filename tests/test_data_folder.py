"""Folders of images: what is read, how mixed files become one form, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnsearch.config.sections import Data
from cnnsearch.data import Images, load
from cnnsearch.data.images import Pixels
from cnnsearch.errors import DataError
from tests.imagefolders import make_folder, picture

CATS_AND_DOGS = {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 2}


def read(root: Path, **fields: object) -> tuple[Images, list[str]]:
    """The images, and what was said."""
    said: list[str] = []
    section = {"name": "image_folder", "root": str(root), **fields}
    return load(Data.model_validate(section), said.append), said


def only(root: Path, **fields: object) -> Pixels:
    """The first image of a folder, [C, H, W]."""
    image: Pixels = read(root, **fields)[0].train[0]
    return image


def pixels(image: Image.Image) -> Pixels:
    """[C, H, W] of an RGB or grey picture."""
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def test_with_train_and_test(tmp_path: Path) -> None:
    images, said = read(make_folder(tmp_path / "data", CATS_AND_DOGS))
    assert images.classes == ("cat", "dog")
    assert images.train.shape == (5, 3, 8, 8)
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1]
    assert images.test_labels is not None
    assert images.test_labels.tolist() == [0, 1, 1]
    assert (images.train[0] == pixels(picture(0))).all()
    assert (images.train[4] == pixels(picture(1001))).all()
    assert images.test is not None
    assert (images.test[2] == pixels(picture(3001))).all()
    assert said == []


def test_without_a_test_folder_all_are_for_training(tmp_path: Path) -> None:
    images, _ = read(make_folder(tmp_path / "data", {"b": 2, "a": 3, "c/deep": 2}))
    assert images.classes == ("a", "b", "c")
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert images.test is None
    assert images.test_labels is None
    images, _ = read(make_folder(tmp_path / "other", {"train/a": 2, "train/b": 2}))
    assert images.test is None


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    images, _ = read(make_folder(tmp_path / "data", {"train": 2, "bus": 2, "test": 2}))
    assert images.classes == ("bus", "test", "train")


def test_other_files_are_no_images(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2})
    for name in ("a/notes.txt", "a/.DS_Store", "b/Thumbs.db", "a/._0000.png", "readme.md"):
        (root / name).write_text("no image")
    (root / ".hidden").mkdir()
    images, said = read(root)
    assert len(images.train) == 4
    assert said == []


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {**CATS_AND_DOGS, "val/cat": 1})
    picture(1).save(root / "train" / "stray.png")
    _, said = read(root)
    assert said == [
        f"{root}/train: images that lie in no class folder are not read: 1.",
        f"{root}: only train/ and test/ are read; not val.",
    ]


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_channels_follow_the_images(tmp_path: Path, mode: str, channels: int) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2}, mode)
    assert read(root)[0].shape == (channels, 8, 8)
    assert read(root, channels=1)[0].shape == (1, 8, 8)
    assert read(root, channels=3)[0].shape == (3, 8, 8)


def test_mixed_modes_become_rgb(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 3, "b": 2}, "L")
    palette = picture(5, "P")
    palette.save(root / "a" / "0001.png")
    images, _ = read(root)
    assert images.shape == (3, 8, 8)
    assert (images.train[0] == pixels(picture(0, "L"))).all()
    assert (images.train[1] == pixels(palette.convert("RGB"))).all()


def test_a_grey_palette_is_grey(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2}, "L", "gif")
    assert read(root)[0].shape == (1, 8, 8)
    assert (only(root) == pixels(picture(0, "L"))).all()


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2})
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.putpixel((0, 0), (10, 20, 30, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.save(root / "a" / "0000.png")
    got = only(root)
    assert got[:, 0, 0].tolist() == [255, 255, 255]
    assert got[:, 0, 1].tolist() == [127, 127, 127]
    assert got[:, 0, 2].tolist() == [10, 20, 30]


def test_greys_of_16_bits_keep_their_upper_8(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2}, "L")
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(deep).save(root / "a" / "0000.png")
    got = only(root)
    assert got.shape == (1, 8, 8)
    assert (got[0] == deep >> 8).all()


def test_photographs_are_turned_as_the_camera_says(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2}, ending="jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (16, 8))
    wide.paste((255, 255, 255), (0, 0, 8, 8))
    for path in root.glob("*/*.jpg"):
        wide.save(path, exif=exif, quality=95)
    images, _ = read(root)
    assert images.shape == (3, 16, 8)
    assert images.train[0, :, :6].min() > 240
    assert images.train[0, :, 10:].max() < 15


def test_the_size_is_the_majority_of_sizes(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 3, "b": 2})
    large = picture(7, size=(20, 12))
    large.save(root / "a" / "0000.png")
    images, _ = read(root)
    assert images.shape == (3, 8, 8)
    expected = large.resize((8, 8), Image.Resampling.BILINEAR)
    assert (images.train[0] == pixels(expected)).all()
    assert read(root, size=[20, 12])[0].shape == (3, 20, 12)
    assert (only(root, size=[20, 12]) == pixels(large)).all()
    assert read(root, size=[4, 5], channels=1)[0].shape == (1, 4, 5)


def test_of_equally_frequent_sizes_the_largest(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2})
    for path in (root / "b").iterdir():
        picture(1, size=(9, 8)).save(path)
    assert read(root)[0].shape == (3, 9, 8)


def spoil(path: Path, how: str) -> None:
    whole = path.read_bytes()
    broken = {"empty": b"", "text": b"no image", "short": whole[: len(whole) // 2]}
    path.write_bytes(broken[how])


@pytest.mark.parametrize("fields", [{}, {"size": [8, 8], "channels": 3}])
@pytest.mark.parametrize("how", ["empty", "text", "short"])
def test_unreadable_files_are_skipped_and_named(
    tmp_path: Path, how: str, fields: dict[str, object]
) -> None:
    root = make_folder(
        tmp_path / "data", {"train/a": 350, "train/b": 350, "test/a": 50, "test/b": 50}
    )
    for number in range(7):
        spoil(root / "train" / "a" / f"{number:04}.png", how)
    spoil(root / "test" / "b" / "0003.png", how)
    images, said = read(root, **fields)
    names = ", ".join(["test/b/0003.png", *(f"train/a/{n:04}.png" for n in range(4))])
    warning = f"8 of 800 images in {root} cannot be read: {names} and 3 more. Skipped."
    assert said == [warning]
    assert np.bincount(images.train_labels).tolist() == [343, 350]
    assert (images.train[0] == pixels(picture(7))).all()
    assert images.test_labels is not None
    assert np.bincount(images.test_labels).tolist() == [50, 49]
    assert read(root, **fields)[1] == [warning]


def test_too_many_unreadable_files_are_refused(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 60, "b": 60})
    spoil(root / "a" / "0000.png", "short")
    assert len(read(root)[0].train) == 119
    spoil(root / "a" / "0001.png", "short")
    with pytest.raises(
        DataError, match=r"2 of 120 images in .* cannot be read: a/0000.png, a/0001"
    ):
        read(root)


def test_an_enormous_image_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "data", {"a": 60, "b": 60})
    picture(0, size=(40, 40)).save(root / "b" / "0001.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "1 of 120 images" in read(root)[1][0]


@pytest.mark.parametrize("kind", ["EPS", "PCX"])
def test_only_the_named_formats_are_opened(tmp_path: Path, kind: str) -> None:
    root = make_folder(tmp_path / "data", {"a": 60, "b": 60})
    picture(0).save(root / "a" / "0000.png", kind)
    assert "1 of 120 images" in read(root)[1][0]


def nothing(root: Path) -> None:
    pass


def a_file(root: Path) -> None:
    root.write_text("")


def maker(counts: dict[str, int], *empty: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        make_folder(root, counts)
        root.mkdir(exist_ok=True)
        for name in empty:
            (root / name).mkdir(parents=True)

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, "does not exist"),
        (a_file, "is a file"),
        (maker({}), "has no class folders"),
        (maker({".": 3}), "has no class folders"),
        (maker({"a": 3}), "has only one class folder, 'a'"),
        (maker({"train/a": 3, "test/a": 2}), "data/train has only one class folder, 'a'"),
        (maker({"a": 3}, "b"), "data/b holds no images"),
        (maker({"a": 3, "b": 1}), "data/b holds one image"),
        (maker({"train/a": 3, "train/b": 2, "test/a": 2}, "test/b"), "data/test/b holds no images"),
        (maker({"test/a": 3, "test/b": 3}), "has test/ but no train/"),
        (
            maker({"train/a": 2, "train/b": 2, "test/a": 2, "test/c": 2}),
            "'b' only in train/; 'c' only in test/",
        ),
    ],
)
def test_what_is_no_data_set(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    root = tmp_path / "data"
    make(root)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read(root)
    text = str(caught.value)
    assert text.startswith("data.root: ")
    assert str(root) in text
    assert "\n" not in text


def test_a_class_left_with_one_readable_image(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"a": 200, "b": 2})
    spoil(root / "b" / "0000.png", "text")
    with pytest.raises(DataError, match="data/b holds one image"):
        read(root)


def test_the_root_of_a_folder_has_no_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CNNSEARCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"data\.root: image_folder has no default folder"):
        load(Data(name="image_folder"))
    root = make_folder(tmp_path / "data", {"a": 2, "b": 2})
    monkeypatch.setenv("CNNSEARCH_DATA", str(root))
    assert len(load(Data(name="image_folder")).train) == 4


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_folder(tmp_path / "data", {"a": 2, "b": 2})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load(Data(name="image_folder", root="~/data")).train) == 4
