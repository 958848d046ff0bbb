"""Image files of mixed kinds to arrays of one form, by Pillow."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cnnsearch.data.images import Pixels
from cnnsearch.data.progress import progress

if TYPE_CHECKING:
    from PIL import Image

# Named one by one: Pillow would hand an EPS file to Ghostscript.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY = frozenset(["1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"])
_DEEP = frozenset(["I", "I;16", "I;16L", "I;16B", "I;16N"])
_HANDFUL = 32
_ORIENTATION = 0x0112
_TURNED = frozenset([5, 6, 7, 8])

Result = TypeVar("Result")


@dataclass(frozen=True)
class Form:
    """What all images are brought to: 1 or 3 channels, height and width in pixels."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class _Header:
    height: int
    width: int
    grey: bool


def form_of(
    root: Path, paths: list[str], size: list[int] | None, channels: int | None
) -> tuple[Form, list[str]]:
    """The form of a folder of images, from the config or from the files' headers.

    The size is the most frequent one, of equally frequent ones the largest. RGB unless all images
    are grey; an RGB file whose pixels happen to be grey is RGB.

    Args:
        paths: below root.
        size: [H, W], or None.

    Returns:
        the form, and the paths whose header could not be read.
    """
    if size is not None and channels is not None:
        return Form(channels, size[0], size[1]), []
    headers: list[_Header] = []
    broken = []
    for batch, found in _all(_header, root, paths, 2048, "Reading sizes"):
        headers += [header for header in found if header is not None]
        broken += [path for path, header in zip(batch, found, strict=True) if header is None]
    sizes = Counter((header.height, header.width) for header in headers)
    majority = max(sizes, key=lambda s: (sizes[s], s[0] * s[1], s)) if sizes else (1, 1)
    height, width = majority if size is None else (size[0], size[1])
    if channels is None:
        channels = 1 if headers and all(header.grey for header in headers) else 3
    return Form(channels, height, width), broken


def decode_all(
    root: Path, paths: list[str], form: Form, batch: int
) -> Iterator[tuple[list[str], list[Pixels | None]]]:
    """Decode files in batches, in order: paths and uint8 [C, H, W], None where unreadable."""

    def decode(path: Path) -> Pixels:
        return _decode(path, form)

    return _all(decode, root, paths, batch, "Decoding images")


def _all(
    read: Callable[[Path], Result], root: Path, paths: list[str], batch: int, title: str
) -> Iterator[tuple[list[str], list[Result | None]]]:
    """Read files with a thread for each core.

    Pillow decodes outside Python's lock, so photographs gain from threads; small images neither
    gain nor lose when each task is a handful of files (8,000 CIFAR files on two cores: one by one
    1.7 s, in handfuls 1.0 to 1.4 s, without threads 0.9 s).
    """

    def attempt(path: str) -> Result | None:
        try:
            return read(root / path)
        except Exception:  # Pillow meets a broken file with almost any exception
            return None

    def handful(some: list[str]) -> list[Result | None]:
        return [attempt(path) for path in some]

    threads = ThreadPoolExecutor(os.cpu_count() or 1)
    with warnings.catch_warnings(), threads as pool, progress(title, len(paths)) as advance:
        from PIL import Image

        # An image that claims to be enormous is an attack or an error: unreadable. Set here, as
        # filters belong to the process, not to a thread.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(paths), batch):
            some = paths[start : start + batch]
            tasks = [some[place : place + _HANDFUL] for place in range(0, len(some), _HANDFUL)]
            yield some, [result for results in pool.map(handful, tasks) for result in results]
            advance(len(some))


def _header(path: Path) -> _Header:
    from PIL import Image

    with Image.open(path, formats=_FORMATS) as image:
        width, height = image.size
        if _orientation(image) in _TURNED:
            width, height = height, width
        return _Header(height, width, _is_grey(image))


def _is_grey(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA"):
        return image.mode in _GREY
    colours = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _orientation(image: Image.Image) -> int:
    # Only for JPEG: asking a PNG for it would decode the image.
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format == "JPEG" else 1


def _decode(path: Path, form: Form) -> Pixels:
    """One file as uint8 [C, H, W]."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=_FORMATS) as opened:
        image: Image.Image = opened
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        image = _flat(image).convert("L" if form.channels == 1 else "RGB")
        if image.size != (form.width, form.height):
            image = image.resize((form.width, form.height), Image.Resampling.BILINEAR)
        array = np.asarray(image)
    return array[None] if form.channels == 1 else np.moveaxis(array, 2, 0)


def _flat(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel, without transparency."""
    from PIL import Image

    if image.mode in _DEEP:
        # Pillow's own conversion clips 16 bits at 255, which turns such images white.
        upper = np.clip(np.asarray(image), 0, 65535) >> 8
        return Image.fromarray(upper.astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not image.has_transparency_data:
        return image
    coloured = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, coloured)
