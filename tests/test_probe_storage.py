"""What was measured of a network, through the real storage and back."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cnnsearch import cli, ending
from cnnsearch.records import (
    Diagnosis,
    Ended,
    EpochResult,
    Finding,
    LayerProbe,
    Outcome,
    Prepared,
    Probe,
    Start,
    State,
    Trial,
)
from cnnsearch.space import Choice, Space
from cnnsearch.study import attributes, read
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.test_search import DATABASE, FINGERPRINT, search

ALWAYS_A_NUMBER = ("loss", "mean", "std", "similarity")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def probes(trial: Trial) -> list[Probe]:
    """The probe before training and those of the epochs."""
    found = [trial.probe, *(epoch.probe for epoch in trial.curve)]
    return [probe for probe in found if probe is not None]


def compare(stored: LayerProbe | Probe, told: LayerProbe | Probe) -> None:
    """Field by field to four digits; what was not finite is nan, or None where it may be absent."""
    for field in fields(told):
        one, other = getattr(stored, field.name), getattr(told, field.name)
        if field.name == "layers":
            assert len(one) == len(other)
            for layer, its in zip(one, other, strict=True):
                compare(layer, its)
        elif isinstance(other, str | int) or other is None:
            assert one == other
        elif math.isfinite(other):
            assert one == pytest.approx(other, rel=5.001e-4, abs=0)
            assert one == float(f"{other:.4g}")
        else:
            assert math.isnan(one) if field.name in ALWAYS_A_NUMBER else one is None


def same(stored: Trial, told: Trial) -> None:
    assert len(probes(stored)) == len(probes(told))
    for one, other in zip(probes(stored), probes(told), strict=True):
        compare(one, other)
    assert [replace(epoch, probe=None) for epoch in stored.curve] == [
        replace(epoch, probe=None) for epoch in told.curve
    ]
    assert stored.diagnosis == told.diagnosis
    finite = {
        name: None if isinstance(fact, float) and not math.isfinite(fact) else fact
        for name, fact in told.facts.items()
    }
    assert stored.facts == finite


def test_what_a_search_measured_is_read_back() -> None:
    """Complete, pruned and diverged trials."""
    space: Space = {"lr": Choice((0.1, 0.09, 0.08, 0.07, 0.06, 1e-6, 1e9))}
    config = digits_config(space=space, sampler="grid", pruner="median", epochs=3)
    ends = [event.trial for event in search(config) if isinstance(event, Ended)]
    assert {trial.state for trial in ends} == {State.COMPLETE, State.PRUNED, State.DIVERGED}
    for told in ends:
        stored = read.trial(DATABASE, "digits", told.number)
        same(stored, told)
        assert stored.probe is not None
        assert all(epoch.probe is not None for epoch in stored.curve)
        assert (len(stored.curve) < 3) == (stored.state is not State.COMPLETE)
        assert stored.diagnosis is not None
        assert stored.facts["device"] == "cpu"


def layer(name: str, number: float, *rest: float | None) -> LayerProbe:
    dead, saturated, gradient_norm, update_ratio = rest
    return LayerProbe(
        name, 7, number, number / 3, dead, saturated, number, gradient_norm, update_ratio
    )


def hand_made() -> Trial:
    """A diverged trial whose second probe is not finite."""
    first = Probe(2.3025851, (layer("conv1", 1 / 3, 0.25, None, None, None),))
    epochs = (
        EpochResult(
            1, 0.1, 1.23456789, 0.5, 2.0, 0.25, 0.5,
            Probe(1e-9 / 7, (layer("conv1", 1e20 / 7, None, 0.123456, 1e-12 / 7, None),), 7e4, 0.0),
        ),
        EpochResult(
            2, 0.1, 1e30, 0.1, 2.0, 0.25, 0.5,
            Probe(
                math.inf, (layer("conv1", math.nan, None, None, math.inf, math.nan),),
                math.inf, math.nan,
            ),
        ),
    )  # fmt: skip
    study = Study.claim(DATABASE, digits_config(), FINGERPRINT, 6)
    try:
        begun = study.begin(Start(0, "0", 1, 5, {"lr": 0.1, "init": "he", "batchnorm": True}))
        outcome = Outcome(State.DIVERGED, "loss inf at step 9 (epoch 3)", {"loss": 3e38, "step": 9})
        prepared = Prepared("cpu", 10, 123, 1000, 20, 0.15, first)
        told = ending.ended(begun, outcome, prepared, [epochs], "val_accuracy", "best")
        findings = (
            Finding("lr-too-high", None, 3.0, "It was lost."),
            Finding("bad-init", 1 / 3, 0.5, "seen"),
        )
        told = replace(told, diagnosis=Diagnosis("lr-too-high", findings))
        study.finish(told)
    finally:
        study.release()
    return told


def test_four_digits_and_what_is_not_finite() -> None:
    told = hand_made()
    stored = read.trial(DATABASE, "digits", 0)
    same(stored, told)
    assert stored.probe is not None
    assert stored.probe.loss == 2.303
    assert stored.probe.layers[0].mean == 0.3333
    lost = probes(stored)[2]
    assert math.isnan(lost.loss)
    assert (lost.layers[0].gradient_norm, lost.highest_loss) == (None, None)


def test_only_strict_json_is_stored() -> None:
    told = hand_made()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    with closing(sqlite3.connect(DATABASE)) as connection:
        rows = connection.execute("SELECT key, value_json FROM trial_user_attributes").fetchall()
    stored = {key: json.loads(text, parse_constant=refuse) for key, text in rows}
    assert {"probes", "curve", "result"} <= set(stored)
    unsure = Diagnosis("ok", (Finding("bad-init", math.nan, math.inf, "seen"),))
    json.dumps(attributes.of_end(replace(told, diagnosis=unsure)), allow_nan=False)


def test_both_ways_of_reading_agree() -> None:
    hand_made()
    with read._connection(DATABASE) as connection:
        assert connection is not None
        direct = list(read._rows(connection, "digits", attributes.WHOLE, [0]))
    assert attributes.PROBES in direct[0][3]
    assert direct == list(read._rows_through_optuna(DATABASE, "digits", attributes.WHOLE, [0]))


def test_listings_have_the_diagnosis_and_no_probe() -> None:
    told = hand_made()
    [trial] = read.trials(DATABASE, "digits")
    assert trial.diagnosis == told.diagnosis
    assert (trial.probe, trial.curve) == (None, ())
    assert [epoch.probe for epoch in read.curves(DATABASE, "digits")[0]] == [None, None]


@pytest.mark.parametrize("words", ["list", "list digits", "show digits 0", "show digits 0 --json"])
def test_a_study_from_before_probes_is_read(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = hand_made()
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'probes'")
        changed = connection.execute(
            "UPDATE trial_user_attributes SET value_json = json_remove(value_json, '$.diagnosis')"
            " WHERE key = 'result' AND json_type(value_json, '$.diagnosis') IS NOT NULL"
        )
        assert changed.rowcount == 1
    stored = read.trial(DATABASE, "digits", 0)
    assert (stored.probe, stored.diagnosis, stored.reason) == (None, None, told.reason)
    assert [epoch.probe for epoch in stored.curve] == [None, None]
    assert cli.run([*words.split(), "--storage", DATABASE]) == 0
    assert capsys.readouterr().out


def test_diagnose_may_change_on_resume() -> None:
    """And changes no number."""
    config = digits_config(trials=4)
    search(replace(config, diagnose=False), count=2)
    assert [trial.diagnosis for trial in read.trials(DATABASE, "digits")] == [None, None]
    search(config, count=4)
    found = [read.trial(DATABASE, "digits", number) for number in range(4)]
    assert [trial.probe is not None for trial in found] == [False, False, True, True]
    assert [trial.diagnosis is not None for trial in found] == [False, False, True, True]
    search(replace(config, study="again"))
    digits, again = (read.trials(DATABASE, name) for name in ("digits", "again"))
    assert [trial.value for trial in digits] == [trial.value for trial in again]
