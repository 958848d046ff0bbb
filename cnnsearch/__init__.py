"""Choose hyperparameters of a convolutional network, from the shell or from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnsearch.running.library import StudyResults, load_config, read_study, run_search

__version__ = "0.1.0"
__all__ = ["StudyResults", "load_config", "read_study", "run_search"]


def __getattr__(name: str) -> Any:
    """Load what is exported when it is asked for: `import cnnsearch` loads nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnnsearch.running import library

    return getattr(library, name)
