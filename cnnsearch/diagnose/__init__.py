"""What went wrong in a trial: one rule a row, over what the trainer measured.

The rules read a trial's curve and its probes as the lectures read them by eye (CS231n, lecture 6).
A rule that cannot be sure says nothing. The limits were set between the runs with and without each
fault of the fold `tune` of `tests/labelled.py`; `scripts/verdicts.py` counts on other runs how
often the rules are right.
"""

from cnnsearch.diagnose.learning_rate import crept
from cnnsearch.diagnose.network import at_start
from cnnsearch.diagnose.rules import JUDGED, OK, RULES, Rule, diagnose

__all__ = ["JUDGED", "OK", "RULES", "Rule", "at_start", "crept", "diagnose"]
