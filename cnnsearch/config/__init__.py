"""The config file: from YAML to a checked `Config`, and back."""

from cnnsearch.config.config import Config
from cnnsearch.config.differences import differences
from cnnsearch.config.reachable import fitting, structures
from cnnsearch.config.reading import from_plain, load, load_with_notes, placed, with_values
from cnnsearch.config.schema import schema
from cnnsearch.config.sections import duration, study_name
from cnnsearch.config.settings import values_of
from cnnsearch.config.stages_section import Stage, Top, top_of
from cnnsearch.config.starter import starter
from cnnsearch.config.writing import to_yaml
from cnnsearch.records import is_study_name

__all__ = [
    "Config",
    "Stage",
    "Top",
    "differences",
    "duration",
    "fitting",
    "from_plain",
    "is_study_name",
    "load",
    "load_with_notes",
    "placed",
    "schema",
    "starter",
    "structures",
    "study_name",
    "to_yaml",
    "top_of",
    "values_of",
    "with_values",
]
