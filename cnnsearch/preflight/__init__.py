"""What is looked at before a search spends its budget: device, images, shapes, time."""

from cnnsearch.preflight.devices import devices
from cnnsearch.preflight.examine import Preflight, examine
from cnnsearch.preflight.fusing import fused_size, unfused
from cnnsearch.preflight.networks import Network, networks
from cnnsearch.preflight.report import document as smoke_document
from cnnsearch.preflight.smoke import Smoke, smoke
from cnnsearch.preflight.timing import default_jobs, estimate_seconds
from cnnsearch.preflight.untrained import warnings

__all__ = [
    "Network",
    "Preflight",
    "Smoke",
    "default_jobs",
    "devices",
    "estimate_seconds",
    "examine",
    "fused_size",
    "networks",
    "smoke",
    "smoke_document",
    "unfused",
    "warnings",
]
