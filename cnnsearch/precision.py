"""With how many digits a trial computes: fp32, tf32 or bf16."""

from __future__ import annotations

import torch

from cnnsearch import catalog


def allow(precision: str) -> None:
    """Set for the whole process how float32 products may be computed; `precision` of a trial.

    torch lets cuDNN round to TF32 unless it is told not to: fp32 is fp32 here.
    """
    allowed = catalog.PRECISIONS[precision].products
    torch.backends.cuda.matmul.fp32_precision = allowed
    torch.backends.cudnn.conv.fp32_precision = allowed  # type: ignore[attr-defined]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Where a network computes its scores and its loss; parameters stay float32.

    A step of conv 32-64 on 32x32x3, batch 128, relu, one thread of a CPU that multiplies bf16
    matrices (AMX): 49 -> 30 ms; with batch norm 83 -> 41 ms.
    """
    lower = catalog.PRECISIONS[precision].dtype
    dtype = torch.float32 if lower is None else getattr(torch, lower)
    # A cache of converted weights gains nothing where each is used once, and disturbs CUDA graphs.
    return torch.autocast(device.type, dtype, enabled=lower is not None, cache_enabled=False)
