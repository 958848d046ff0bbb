"""What the trials of a study teach for the next search: pure functions over their records.

A statement that chance could make as well is not made; `cnnsearch.review.chance` decides.
"""

from cnnsearch.review.advice import FEWEST, Advice, advise, edge_text
from cnnsearch.review.coverage import Axis, coverage
from cnnsearch.review.edges import Edge, edges
from cnnsearch.review.failure_map import MapEntry, Telling, failure_map
from cnnsearch.review.verdicts import NO_VERDICT, ended, verdicts, wasted

__all__ = [
    "FEWEST",
    "NO_VERDICT",
    "Advice",
    "Axis",
    "Edge",
    "MapEntry",
    "Telling",
    "advise",
    "coverage",
    "edge_text",
    "edges",
    "ended",
    "failure_map",
    "verdicts",
    "wasted",
]
