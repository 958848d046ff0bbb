"""References to trials, conditions on trials, and groups of trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cnnsearch import catalog
from cnnsearch.errors import InputError
from cnnsearch.grouping import groups
from cnnsearch.records import Diagnosis, Finding, Params, State, Trial
from cnnsearch.selection import EXAMPLE, NAMES, VERDICTS, refer, split, where


def trial(
    number: int,
    params: Params,
    value: float | None = None,
    state: State = State.COMPLETE,
    point: int | None = None,
    attempt: int = 1,
) -> Trial:
    place = number if point is None else point
    return Trial(
        number=number,
        point=place,
        key=str(place),
        attempt=attempt,
        state=state,
        value=value,
        params=params,
        epochs=3 if value is not None else 0,
        best_epoch=2 if value is not None else None,
        seconds=1.5 + number,
        reason=None,
        seed=number,
        started=0.0,
    )


TRIALS = [
    trial(0, {"lr": 0.1, "activation": "relu", "batchnorm": True, "conv": [8]}, 0.5),
    trial(1, {"lr": 1e-4, "activation": "leaky_relu", "batchnorm": False, "slope": 0.2}, 0.9),
    trial(2, {"lr": 5.0, "activation": "tanh", "batchnorm": True}, None, State.DIVERGED),
    trial(3, {"lr": 0.01, "activation": "relu", "batchnorm": False}, None, State.KILLED, 3),
    trial(4, {"lr": 0.01, "activation": "relu", "batchnorm": False}, 0.7, point=3, attempt=2),
    trial(6, {"lr": 0.02, "activation": "tanh", "init": "normal:0.01", "epochs": 8}, 0.9),
]
PARAMETERS = ["lr", "activation", "batchnorm", "slope", "init", "conv", "epochs"]


def numbers(trials: Sequence[Trial]) -> list[int]:
    return [trial.number for trial in trials]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("3", [3]),
        ("best", [1]),
        ("last", [6]),
        ("top:3", [1, 6, 4]),
        ("top:99", [1, 6, 4, 0]),
        ("4,0,2", [4, 0, 2]),
        ("2-4", [2, 3, 4]),
        ("4-6", [4, 6]),
        ("1,best,0-2", [1, 0, 2]),
        ("last, best", [6, 1]),
    ],
)
def test_references(reference: str, expected: list[int]) -> None:
    assert numbers(refer(TRIALS, reference, "maximize", "digits")) == expected


def test_best_of_a_loss_is_the_lowest() -> None:
    assert numbers(refer(TRIALS, "top:2", "minimize", "digits")) == [0, 4]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("7", "study digits has no trial 7. It has trials 0 to 6."),
        ("5", "study digits has no trial 5."),
        ("4-9", "no trial 9"),
        ("4-2", "Write 2-4."),
        ("bset", "Did you mean best?"),
        ("top:0", "Write top:1"),
        ("top:x", "Write a number, best, last"),
        ("-1", "Write a number"),
        ("٣", "Write a number"),
        ("", "Write a number"),
        ("9" * 30, "Write a number"),
    ],
)
def test_wrong_references(reference: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        refer(TRIALS, reference, "maximize", "digits")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reference", ["best", "top:2"])
def test_no_best_without_a_complete_trial(reference: str) -> None:
    with pytest.raises(InputError, match="is complete"):
        refer(TRIALS[2:4], reference, "maximize", "digits")


def test_an_empty_study_has_no_trials() -> None:
    with pytest.raises(InputError, match="no trials yet"):
        refer([], "last", "maximize", "digits")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("3", (None, "3")), ("digits/best", ("digits", "best")), ("a/b/1", ("a/b", "1"))],
)
def test_split(reference: str, expected: tuple[str | None, str]) -> None:
    assert split(reference) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("lr < 1e-3", [1]),
        ("1e-3 < lr <= 0.1", [0, 3, 4, 6]),
        ("lr<1 and batchnorm", [0]),
        ("not batchnorm", [1, 3, 4, 6]),
        ("batchnorm == false", [1, 3, 4]),
        ("batchnorm == False", [1, 3, 4]),
        ("batchnorm == 0", []),
        ("activation == relu", [0, 3, 4]),
        ("activation == 'relu'", [0, 3, 4]),
        ("relu == activation", [0, 3, 4]),
        ("activation != relu", [1, 2, 6]),
        ("activation in (relu, tanh)", [0, 2, 3, 4, 6]),
        ("activation not in [relu, tanh]", [1]),
        ("activation in (relu)", [0, 3, 4]),
        ("activation in relu", [0, 3, 4]),
        ("activation not in ('relu')", [1, 2, 6]),
        ("relu in (activation)", [0, 1, 3, 4]),
        ("lr in (0.1)", [0]),
        ("batchnorm in (true)", [0, 2]),
        ("conv in ([8])", []),
        ("number < 4 in (4) and number < 2", [0, 1]),
        ("val_loss > 0.6", [1, 4, 6]),
        ("not val_loss < 1 and value == 1", []),
        ("'relu' in activation", [0, 1, 3, 4]),
        ("state == complete and value > 0.6", [1, 4, 6]),
        ("state in (diverged, killed)", [2, 3]),
        ("value < 1", [0, 1, 4, 6]),
        ("not value < 1", [2, 3]),
        ("value != 0.5", [1, 4, 6]),
        ("slope > 0.1 or number == 0", [0, 1]),
        ("slope != 7", [1]),
        ("init == 'normal:0.01'", [6]),
        ("epochs == 3", [0, 1, 4, 6]),
        ("params.epochs == 8", [6]),
        ("params.lr < 1e-3", [1]),
        ("conv == [8]", [0]),
        ("conv in ([8], [16])", [0]),
        ("8 in conv", [0]),
        ("lr > -1 and lr > +0.05", [0, 2]),
        ("true", [0, 1, 2, 3, 4, 6]),
        ("attempt == 2", [4]),
        ("seconds > 5 and seed >= 4", [4, 6]),
        ("  lr < 1e-3  ", [1]),
    ],
)
def test_conditions(condition: str, expected: list[int]) -> None:
    assert numbers(where(TRIALS, condition, PARAMETERS, "val_loss")) == expected


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("lr <", EXAMPLE),
        ("", EXAMPLE),
        ("lr = 1", "Equality is written ==."),
        ("lr < 1 & batchnorm", "Compare names"),
        ("lr < 1 && batchnorm", "Write and, or, not."),
        ("init == normal:0.01", "Quote texts that hold a colon: 'normal:0.01'."),
        ("lrr < 1", "Did you mean lr?"),
        ("activation == rel", "Did you mean relu?"),
        ("qqqqqqq", "Names: number"),
        ("lr", "no switch"),
        ("lr + 1 < 2", "Compare names"),
        ("lr < 'a'", "no order"),
        ("batchnorm < 3", "no order"),
        ("lr in number", "After in stands a list"),
        ("val_accuracy < 1", "unknown name"),
        ("value is None", "Write == or !=."),
        ("value == None", "meets no comparison"),
        ("__import__('os').system('true')", "Only comparisons"),
        ("lr.__class__ == 1", "Compare names"),
        ("[x for x in (1,)]", "Only comparisons"),
        ("(lambda: 1)() == 1", "Compare names"),
        ("lr == b'a'", "Compare names"),
        ("lr < 1j", "Compare names"),
        ("params.nothing == 1", "unknown name 'params.nothing'"),
        ("lr < 1 if batchnorm else lr > 2", "Only comparisons"),
        ("(y := lr) < 1", "Compare names"),
        ("lr\x00 < 1", EXAMPLE),
        ("(" * 400 + "lr < 1" + ")" * 400, "not a condition"),
        ("not " * 249 + "lr", "no switch"),
        ("lr < " + "-" * 900 + "1", ""),
        ("lr < 1 or " * 101 + "lr < 1", "too many"),
    ],
)
def test_wrong_conditions(condition: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        where(TRIALS, condition, PARAMETERS)
    assert told in str(error.value)
    assert "--where" in str(error.value)


@pytest.mark.parametrize("name", [*NAMES, *PARAMETERS])
def test_every_name_can_be_compared(name: str) -> None:
    assert where(TRIALS, f"{name} == 12345", PARAMETERS) == []


@pytest.mark.parametrize(
    "word", [name for table in catalog.TABLES.values() for name in table]
)  # fmt: skip
def test_every_choice_needs_no_quotes(word: str) -> None:
    one = trial(0, {"activation": word})
    assert where([one], f"activation == {word}", ["activation"]) == [one]


def judged(number: int, *rules: str) -> Trial:
    """A trial with findings; without one it is ok."""
    findings = tuple(Finding(rule, 2.0, 1.0, "seen") for rule in rules)
    verdict = rules[0] if rules else "ok"
    return replace(trial(number, {"init": "he"}), diagnosis=Diagnosis(verdict, findings))


JUDGED = [
    judged(0),
    judged(1, "lr-too-high", "dead-units"),
    judged(2, "not-learning"),
    trial(3, {"init": "he"}),
    judged(4, "overfit"),
]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("verdict == ok", [0]),
        ("verdict == overfit", [4]),
        ("verdict == lr-too-high", [1]),
        ("verdict == 'lr-too-high'", [1]),
        ('verdict == "lr-too-high"', [1]),
        ("lr-too-high==verdict", [1]),
        ("verdict == not-learning", [2]),
        ("verdict != not-learning", [0, 1, 4]),
        ("verdict in (not-learning, lr-too-high)", [1, 2]),
        ("verdict in ('not-learning', lr-too-high)", [1, 2]),
        ("dead-units in findings", [1]),
        ("not dead-units in findings", [0, 2, 3, 4]),
        ("dead-units not in findings", [0, 2, 4]),
        ("init == 'a-not-learning'", []),
        ("init == 'not-learning' or verdict == ok", [0]),
    ],
)
def test_verdicts_in_conditions(condition: str, expected: list[int]) -> None:
    """With their dashes, and with `not` in them; a trial without a verdict meets no comparison."""
    assert numbers(where(JUDGED, condition, ["init"])) == expected


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_needs_no_quotes(verdict: str) -> None:
    one = judged(0, verdict)
    assert where([one], f"verdict=={verdict} and {verdict} in findings", []) == [one]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("verdict == lr-to-high", "Did you mean lr-too-high?"),
        ("verdict == lr_too_high", "Did you mean lr-too-high?"),
        ("verdict == overfitt", "Did you mean overfit?"),
        ("number - 1 == 0", "Compare names"),
        ("verdict == x-lr-too-high", "Did you mean lr-too-high?"),
        ("verdict == not-lerning", EXAMPLE),
        ("lr-too-high", "Only comparisons"),
    ],
)
def test_wrong_verdicts_in_conditions(condition: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        where(JUDGED, condition, ["init"])
    assert told in str(error.value)


def test_nothing_is_evaluated() -> None:
    """A condition that Python would run does not run: the exception would not be ours."""
    with pytest.raises(InputError):
        where(TRIALS, "lr < (1 / 0)", PARAMETERS)


def test_groups_of_choices() -> None:
    found = groups(TRIALS[:5], "activation")
    assert [(g.value, len(g.trials), len(g.complete)) for g in found] == [
        ("leaky_relu", 1, 1),
        ("relu", 3, 2),
        ("tanh", 1, 0),
    ]
    relu = found[1]
    assert relu.mean == pytest.approx(0.6)
    best = relu.best("maximize")
    assert best is not None
    assert best.number == 4
    assert found[2].diverged == 1.0
    assert found[2].mean is None


def test_inactive_trials_are_the_last_group() -> None:
    found = groups(TRIALS, "slope")
    assert [(g.value, len(g.trials)) for g in found] == [(0.2, 1), (None, 5)]


def test_switches_are_a_group_each() -> None:
    assert [g.value for g in groups(TRIALS[:5], "batchnorm")] == [False, True]


def test_many_numbers_are_grouped_by_decades() -> None:
    trials = [trial(k, {"lr": 1e-5 * 10 ** (k / 4)}, 0.5) for k in range(21)]
    found = groups(trials, "lr")
    assert [g.interval for g in found] == [
        (1e-5, 1e-4), (1e-4, 1e-3), (1e-3, 1e-2), (1e-2, 0.1), (0.1, 1.0)
    ]  # fmt: skip
    assert sum(len(g.trials) for g in found) == 21
    assert numbers(found[1].trials) == [4, 5, 6, 7]


def test_numbers_of_one_size_are_grouped_by_equal_widths() -> None:
    trials = [trial(k, {"momentum": 0.5 + k * 0.05}, 0.5) for k in range(9)]
    found = groups(trials, "momentum")
    assert len(found) == 4
    assert [len(g.trials) for g in found] == [2, 2, 2, 3]


def test_few_numbers_are_a_group_each() -> None:
    trials = [trial(k, {"kernel": 3 + 2 * (k % 2)}, 0.5) for k in range(9)]
    assert [g.value for g in groups(trials, "kernel")] == [3, 5]
