"""The table of rules, most severe first, and the verdict that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cnnsearch.diagnose.learning import not_learning, overfit, undertrained
from cnnsearch.diagnose.learning_rate import lr_too_high, lr_too_low
from cnnsearch.diagnose.network import bad_init, dead_units, loud_init, saturated, symmetric
from cnnsearch.records import Diagnosis, Finding, State, Trial

OK = "ok"
JUDGED = (State.COMPLETE, State.PRUNED, State.DIVERGED)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a training goes wrong.

    Args:
        name: the verdict, in one word.
        look: the finding in a trial, or None where the rule does not apply or is not sure.
        meaning: what it means, in one sentence.
        advice: what to try, in one sentence.
    """

    name: str
    look: Callable[[Trial], Finding | None]
    meaning: str
    advice: str


def diagnose(trial: Trial) -> Diagnosis | None:
    """The verdict on a trial that ended by itself; None for any other, and without measurements."""
    if trial.state not in JUDGED or trial.probe is None:
        return None
    found = [finding for rule in RULES.values() if (finding := rule.look(trial)) is not None]
    return Diagnosis(found[0].rule if found else OK, tuple(found))


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.name: rule
        for rule in [
            Rule(
                "symmetric",
                symmetric,
                "All units of a layer compute and learn the same, so they count as one.",
                "Draw the weights at random: init he, or xavier for tanh and sigmoid.",
            ),
            Rule(
                "lr-too-high",
                lr_too_high,
                "The steps are too long: they throw the loss past every minimum.",
                "Lower lr, by a factor of 3 to 10 at first; lr x weight_decay must stay below 1.",
            ),
            Rule(
                "bad-init",
                bad_init,
                "The init scheme does not fit this depth and activation function: the signal, and "
                "the gradient with it, dies away or explodes from layer to layer.",
                "Use init he for relu, xavier for tanh and sigmoid, or batchnorm: true.",
            ),
            Rule(
                "saturated",
                saturated,
                "At the limits of its activation function a unit has no slope, and so no gradient.",
                "Draw smaller weights (init xavier), use batchnorm: true, or relu.",
            ),
            Rule(
                "dead-units",
                dead_units,
                "Dead units pass on no signal and get no gradient, so they stay dead.",
                "Lower lr, use leaky_relu or elu, or batchnorm: true.",
            ),
            Rule(
                "lr-too-low",
                lr_too_low,
                "The steps are too short: the weights hardly move.",
                "Raise lr, by a factor of 10 to begin with.",
            ),
            Rule(
                "not-learning",
                not_learning,
                "The network does no better than guessing.",
                "Look at the labels and images; then try another lr or init, or less weight_decay.",
            ),
            Rule(
                "overfit",
                overfit,
                "It learns the training images by heart, at the cost of the validation split.",
                "Use more images, flip or crop, weight_decay, dropout, or fewer epochs.",
            ),
            Rule(
                "loud-init",
                loud_init,
                "The first scores are far too large: the first steps go into taking them back.",
                "Use a smaller init, such as he or xavier, and standardize the images.",
            ),
            Rule(
                "undertrained",
                undertrained,
                "It was still getting better when it ended.",
                "Train for more epochs.",
            ),
        ]
    }
)
