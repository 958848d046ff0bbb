"""Small folders of real image files for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Image.Image:
    """A picture of random pixels; `size` is (height, width)."""
    draws = np.random.default_rng(seed)
    height, width = size
    if mode == "P":
        colours = draws.integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(colours).quantize(16)
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (height, width) if bands == 1 else (height, width, bands)
    image = Image.fromarray(draws.integers(0, 256, shape, dtype=np.uint8))
    assert image.mode == mode
    return image


def make_folder(root: Path, counts: dict[str, int], mode: str = "RGB", ending: str = "png") -> Path:
    """Fill `root` with random 8x8 pictures: `counts` says how many in which folder."""
    for place, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            path = root / folder / f"{number:04}.{ending}"
            picture(1000 * place + number, mode).save(path)
    return root
