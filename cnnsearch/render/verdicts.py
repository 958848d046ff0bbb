"""Verdicts as people read them: a word in a listing, counts in a line, sentences of one trial."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cnnsearch import ranking
from cnnsearch.diagnose import OK, RULES
from cnnsearch.records import Diagnosis, Finding, Trial
from cnnsearch.render import output
from cnnsearch.render.output import Line

# The network has learned, and could learn more or better.
MILD = frozenset({"overfit", "loud-init", "undertrained"})
_LABEL = 6


def verdict_style(verdict: Any) -> str:
    """rich's style of a verdict, and none of anything else."""
    if verdict == OK:
        return "green"
    return "cyan" if verdict in MILD else "yellow" if verdict in RULES else ""


def verdict_counts(trials: Iterable[Trial]) -> Mapping[str, int]:
    """How many points have each verdict, the most frequent first; attempts run again not counted.

    Args:
        trials: all attempts.
    """
    diagnoses = [trial.diagnosis for trial in ranking.last_attempts(trials)]
    return dict(Counter(one.verdict for one in diagnoses if one is not None).most_common())


def verdicts_text(counts: Mapping[str, int]) -> str:
    """Counts in a sentence: `12 ok, 8 lr-too-high`."""
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def verdict_lines(diagnosis: Diagnosis | None) -> list[Line]:
    """The verdict with what was seen, what it means and what to try; then what else was found."""
    if diagnosis is None:
        return []
    style = verdict_style(diagnosis.verdict)
    head: Line = [("verdict: ", ""), (diagnosis.verdict, f"bold {style}")]
    if not diagnosis.findings:
        return [[*head, ("; no rule found anything wrong", "")]]
    first, *others = diagnosis.findings
    lines = [head, *_labelled("seen", first.message)]
    rule = RULES.get(first.rule)
    if rule is not None:  # a study of another version may have rules that are unknown here
        lines += [*_labelled("means", rule.meaning), *_labelled("try", rule.advice, "bold")]
    for other in others:
        lines += [[("also: ", ""), (other.rule, verdict_style(other.rule))], *_shorter(other)]
    return lines


def _shorter(finding: Finding) -> list[Line]:
    rule = RULES.get(finding.rule)
    lines = _labelled("seen", finding.message)
    return lines if rule is None else [*lines, *_labelled("try", rule.advice)]


def _labelled(label: str, text: str, style: str = "") -> list[Line]:
    """A sentence behind its label; on a terminal wrapped, and indented as far as it begins."""
    room = max(20, output.width() - _LABEL - 2)
    pieces = textwrap.wrap(text, room) if output.is_terminal() else [text]
    return [
        [(f"  {(label if i == 0 else '').ljust(_LABEL)}", "dim"), (piece, style)]
        for i, piece in enumerate(pieces)
    ]
