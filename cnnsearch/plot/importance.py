"""Importance of the hyperparameters as bars with their intervals."""

from __future__ import annotations

from matplotlib.patches import Patch

from cnnsearch.catalog import EVALUATORS
from cnnsearch.plot.paper import COLOURS, PALE, Drawn, legend, nothing
from cnnsearch.plot.pictured import Asked, Pictured

# The word of the table of `cnnsearch importance`.
NOT_TOLD = "may be chance"


def importance(figure: Drawn, pictured: Pictured, _: Asked) -> None:
    """A bar a hyperparameter, the longest at the top; hatched where it may be chance."""
    found = pictured.importances
    if found is None or not found.effects:
        nothing(figure, pictured.untold or "importance cannot be told yet")
        return
    axes = figure.add_subplot()
    effects = found.effects[::-1]
    for place, effect in enumerate(effects):
        axes.barh(
            place, effect.share, height=0.62, zorder=2,
            color=COLOURS[0] if effect.told else PALE,
            hatch=None if effect.told else "///", edgecolor="white" if effect.told else "#888888",
        )  # fmt: skip
        below, above = effect.share - effect.low, effect.high - effect.share
        axes.errorbar(effect.share, place, xerr=[[below], [above]], color="black", capsize=3,
                      linewidth=1.1, zorder=3)  # fmt: skip
        axes.annotate(f"{effect.share:.0%}", (effect.high, place), (6, 0),
                      textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(effects)), [effect.names[0] for effect in effects])
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-0.6, len(effects) - 0.4)
    axes.set_xlim(0, max(effect.high for effect in effects) * 1.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    what = "variance" if found.evaluator == "fanova" else "all importances"
    axes.set_xlabel(f"share of {what} ({EVALUATORS[found.evaluator].title}), with 95 % interval")
    handles = []
    if any(effect.told for effect in effects):
        handles.append(Patch(facecolor=COLOURS[0], label="told from chance"))
    if not all(effect.told for effect in effects):
        handles.append(Patch(facecolor=PALE, hatch="///", edgecolor="#888888", label=NOT_TOLD))
    legend(figure, handles)
