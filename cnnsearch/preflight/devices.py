"""What torch can compute on."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def devices() -> Iterator[tuple[str, str]]:
    """Each device by its name in a config, with its memory in GB where torch tells it."""
    threads, best = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    yield "torch", f"{torch.__version__}; {threads} threads by default, {best}"
    for index in range(torch.cuda.device_count()):
        free, whole = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield f"cuda:{index}", f"{name}, {free / 1e9:.1f} of {whole / 1e9:.1f} GB free"
    if not torch.cuda.is_available():
        yield "cuda", "none that torch can use"
    if torch.backends.mps.is_available():
        yield "mps", "there"
