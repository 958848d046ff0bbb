"""Verdicts on real runs whose faults are known by construction: a part of `scripts/verdicts.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.labelled import Case, Sources, cases, run_case

NOWHERE = Sources(Path("mnist"), Path("cifar10"), Path("scratch"))


def chosen() -> list[int]:
    """One run of each fault on each data set, all of one seed."""
    places: dict[tuple[str, str], int] = {}
    for index, case in enumerate(cases("count", NOWHERE)):
        if case.config.seed == 11:
            places.setdefault((case.family, case.data), index)
    return list(places.values())


def name(index: int) -> str:
    case = cases("count", NOWHERE)[index]
    return f"{case.family}-{case.data}".replace(" ", "-")


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """The run with its images in place."""
    sources, index = replace(NOWHERE, scratch=tmp_path), int(request.param)
    needs = repr(cases("count", NOWHERE)[index])
    for source in ("mnist", "cifar"):
        if source in needs:
            root = request.getfixturevalue(f"{source}_root")
            sources = replace(sources, **{source: root})
    return cases("count", sources)[index]


def test_at_most_40_runs() -> None:
    assert len(chosen()) <= 40


@pytest.mark.parametrize("case", chosen(), ids=name, indirect=True)
def test_what_is_wrong_is_found(case: Case) -> None:
    diagnosis = run_case(case).diagnosis
    assert diagnosis is not None
    findings = {finding.rule for finding in diagnosis.findings}
    assert case.must <= findings, diagnosis
    assert case.allows(diagnosis.verdict), diagnosis


def test_folds_share_no_config_and_no_seed() -> None:
    tune, count = cases("tune", NOWHERE), cases("count", NOWHERE)
    assert not {case.config.seed for case in tune} & {case.config.seed for case in count}
    plain = [
        {repr(replace(case.config, seed=0)) for case in fold if case.family != "shuffled labels"}
        for fold in (tune, count)
    ]
    assert not plain[0] & plain[1]
