"""A few faults of scripts/faults, and that what is checked after them can fail."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from faulting import invariants
from faulting.invariants import check
from faulting.plans import PLAN
from faulting.processes import MARK, SkippedError
from faulting.scenario import Scenario
from faulting.setting import Setting
from faulting.table import FAULTS

from cnnsearch.records import State
from cnnsearch.study.database import opened

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc"),
    pytest.mark.xdist_group("faults"),  # one undisturbed run for all
]

FEW = {
    "worker-killed": 2,
    "coordinator-killed": 1,
    "copied-journal": 1,
    "disk-full-runs": 1,
    "postgres-stopped": 1,
    "losses": 6,
}


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("faults"), random.Random(0))


@pytest.mark.parametrize("name", FEW)
def test_nothing_is_lost(name: str, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "ORPHANS_S", 60)  # a loaded machine ends them late, not never
    [fault] = [fault for fault in FAULTS if fault.name == name]
    try:
        found = fault.make(setting, FEW[name])
    except SkippedError as reason:
        pytest.skip(str(reason))
    assert found.problems == []
    assert found.tried == FEW[name]
    assert (found.lost, found.twice, found.changed, found.orphans) == (0, 0, 0, 0)


@pytest.fixture
def whole(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A copy of the undisturbed run, as if it had just ended."""
    monkeypatch.setattr(invariants, "ORPHANS_S", 0.1)
    setting.undisturbed(PLAN)
    copy = Scenario(PLAN, setting.folder("whole"))
    run = min(setting.place.glob("*-plan"), key=lambda path: int(path.name.partition("-")[0]))
    shutil.copytree(run, copy.folder, dirs_exist_ok=True)
    copy.look()
    return copy


def test_what_is_whole_passes(setting: Setting, whole: Scenario) -> None:
    assert setting.check(whole).problems == []


def test_other_numbers_are_seen(setting: Setting, whole: Scenario) -> None:
    expected = dict(setting.undisturbed(PLAN))
    expected["3"] = replace(expected["3"], curve=expected["3"].curve[:-1])
    found = check(whole, expected)
    assert found.changed == 1
    assert "other numbers than undisturbed: points 3" in found.problems[0]


def test_a_trial_left_running_is_a_lost_point(setting: Setting, whole: Scenario) -> None:
    with opened(whole.storage) as database:
        study = database.get_study_id_from_name(PLAN.name)
        template = database.get_all_trials(study)[0]
        again = {**template.user_attrs, "begun": {**template.user_attrs["begun"], "attempt": 2}}
        template.user_attrs, template.state = again, type(template.state).RUNNING
        template.values = template.datetime_complete = None
        database.create_new_trial(study, template)
    found = setting.check(whole)
    assert (found.lost, found.twice) == (1, 1)
    assert found.problems[0] == "1 trials are left running"


def test_points_that_are_missing_are_lost(setting: Setting, whole: Scenario) -> None:
    whole.plan = replace(PLAN, trials=PLAN.trials + 2)
    assert setting.check(whole).lost == 2


def test_an_orphan_is_seen(setting: Setting, whole: Scenario) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep, env={**os.environ, MARK: whole.mark}) as orphan:
        while whole.left() != [orphan.pid]:
            pass
        assert setting.check(whole).orphans == 1
        orphan.send_signal(signal.SIGKILL)


def test_a_file_that_changes_later_is_seen(setting: Setting, whole: Scenario) -> None:
    with (whole.trials / "4" / "log.txt").open("a") as log:
        log.write("late")
    assert setting.check(whole).problems == ["files of ended trials changed later: 4"]


def test_the_states_in_which_attempts_may_end(setting: Setting, whole: Scenario) -> None:
    assert {end.state for end in setting.undisturbed(PLAN).values()} == {
        State.COMPLETE,
        State.DIVERGED,
    }
