"""Reading studies without owning them: straight from Optuna's tables, without optuna and torch.

Ten thousand trials take 9 to 12 s through Optuna's API and 0.25 s through these SELECTs, which are
used for the one version of the tables that they were written for; other versions are read through
Optuna.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from cnnsearch import ranking
from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.objective import DIRECTIONS
from cnnsearch.records import EpochResult, State, StudySummary, Trial, is_study_name
from cnnsearch.study import attributes, stored, versions
from cnnsearch.study.backends import Backend, backend, damaged, failure, without_studies
from cnnsearch.study.lock import is_held
from cnnsearch.study.states import state_of
from cnnsearch.study.stored import DamagedError

TABLES_VERSION = "v3.2.0.a"
COORDINATOR_DIED = "its coordinator died"

# A trial as a row: number, Optuna's state, value, attributes.
Row = tuple[int, str, float | None, Mapping[str, Any]]


def study_names(storage: str) -> list[str]:
    """Names of all studies that cnnsearch made; none where the database does not exist."""
    with _connection(storage) as connection:
        return _names(connection) if connection else []


def resolve(storage: str, prefix: str) -> str:
    """The full name of a study from an unambiguous prefix; of a chain the last stage.

    Raises:
        InputError: no study of that name, or several.
    """
    names = study_names(storage)
    if prefix in names:
        return prefix
    found = [name for name in names if name.startswith(prefix)] if prefix else []
    if len(found) == 1:
        return found[0]
    numbers = [re.fullmatch(rf"{re.escape(prefix)}\.([0-9]{{1,9}})", name) for name in found]
    if numbers and all(numbers):
        return max(found, key=lambda name: int(name.rpartition(".")[2]))
    if found:
        raise InputError(f"study {prefix!r} is ambiguous. Write one of: {', '.join(found)}.")
    place = backend(storage)
    where = place.shown
    if not names:
        nothing = without_studies(place).removeprefix("no studies: ")
        raise InputError(f"study {prefix!r}: {nothing}.")
    if len(names) <= 8:
        raise InputError(f"no study {prefix!r} in {where}. Studies: {', '.join(names)}.")
    near = get_close_matches(prefix, names, 3)
    hint = f"Nearest: {', '.join(near)}." if near else "See them all: cnnsearch list."
    raise InputError(f"no study {prefix!r} in {where}. {hint}")


def summaries(storage: str) -> tuple[list[StudySummary], dict[str, CnnsearchError]]:
    """All studies, the one begun first at the top; and what is wrong with those left out."""
    found: list[StudySummary] = []
    broken: dict[str, CnnsearchError] = {}
    with _connection(storage) as connection:
        for name in _names(connection) if connection else []:
            try:
                attrs = _attributes(connection, name)
                found.append(_summary(name, attrs, _trials(storage, name, connection)))
            except (DamagedError, UnicodeDecodeError) as error:
                broken[name] = damaged(backend(storage), error)
    return found, broken


def summary(storage: str, name: str) -> StudySummary:
    """One study, by its full name."""
    with _connection(storage) as connection:
        attrs = _attributes(connection, name)
        return _summary(name, attrs, _trials(storage, name, connection))


def summary_and_trials(storage: str, name: str) -> tuple[StudySummary, list[Trial]]:
    """One study, by its full name, and all its attempts, of one moment."""
    with _connection(storage) as connection:
        attrs = _attributes(connection, name)
        found = _trials(storage, name, connection)
        return _summary(name, attrs, found), found


def study_attributes(storage: str, name: str) -> Mapping[str, Any] | None:
    """The study's attributes by name; None where cnnsearch made no such study."""
    with _connection(storage) as connection:
        return _found(connection, name) if connection else None


def stages(storage: str) -> dict[str, Mapping[str, Any]]:
    """The place of each study that is a stage of a chain: `family`, `stage`, `of`, `parent`."""
    found: dict[str, Mapping[str, Any]] = {}
    with _connection(storage) as connection:
        for name, text in _having(connection, attributes.STAGE) if connection else []:
            with suppress(DamagedError):  # told by who asks for that study
                found[name] = stored.of_study(attributes.STAGE, text)
    return {name: place for name, place in found.items() if place}


def trials(storage: str, name: str) -> list[Trial]:
    """All attempts of a study by number, without curves.

    Trials that a dead coordinator left running come as killed.
    """
    with _connection(storage) as connection:
        return _trials(storage, name, connection)


def trial(storage: str, name: str, number: int) -> Trial:
    """One trial with its curve and its probes.

    Raises:
        InputError: no trial of that number.
    """
    with _connection(storage) as connection:
        found = {
            trial.number: trial
            for trial in _trials(storage, name, connection, attributes.WHOLE, [number])
        }
    if number not in found:
        count = len(trials(storage, name))
        there = f"It has trials 0 to {count - 1}." if count else "It has no trials yet."
        raise InputError(f"study {name} has no trial {number}. {there}")
    return found[number]


def curves(storage: str, name: str) -> dict[int, tuple[EpochResult, ...]]:
    """The curves of all attempts by trial number, without probes."""
    with _connection(storage) as connection:
        keys = (*attributes.LISTED, attributes.CURVE)
        found = _trials(storage, name, connection, keys)
    return {trial.number: trial.curve for trial in found}


def whole(storage: str, name: str, numbers: Sequence[int]) -> dict[int, Trial]:
    """Some trials by their numbers, with their curves and probes; without those that are gone."""
    with _connection(storage) as connection:
        found = _trials(storage, name, connection, attributes.WHOLE, numbers) if numbers else []
    return {trial.number: trial for trial in found}


@contextmanager
def _connection(storage: str) -> Iterator[sqlalchemy.Connection | None]:
    """A connection that cannot create the database; None where there is none."""
    place = backend(storage)
    if not place.exists():
        yield None
        return
    engine = sqlalchemy.create_engine(place.url(), **place.arguments(create=False))
    try:
        with engine.connect() as connection:
            yield connection if _has_tables(connection, place) else None
    except DBAPIError as error:
        raise failure(place, error) from error
    except (DamagedError, UnicodeDecodeError) as error:  # SQLite repeats what it cannot read
        raise damaged(place, error) from error
    finally:
        engine.dispose()


def _has_tables(connection: sqlalchemy.Connection, place: Backend) -> bool:
    """Whether there is something to read.

    Without all tables it is a file that somebody has touched, or a creation that is under way or
    was cut short: the version is written last.

    Raises:
        InputError: the tables are another program's, or of a version that the installed Optuna
            does not read. It is not asked itself: it would add its own tables to them first.
    """
    version = _version(connection)
    if version not in (None, TABLES_VERSION):
        versions.check(place, str(version))
    there = set(sqlalchemy.inspect(connection).get_table_names())
    if version is None:
        place.refuse_foreign()
        return there >= versions.TABLES
    if "studies" not in there:
        raise DamagedError("the table studies is missing")
    return True


def _having(connection: sqlalchemy.Connection, key: str) -> list[tuple[str, Any]]:
    """The studies that have an attribute, in the order they were made, and its text.

    Without those whose names cnnsearch gives to none: they become names of files.
    """
    rows = connection.execute(
        sqlalchemy.text(
            "SELECT s.study_name, a.value_json FROM studies s JOIN study_user_attributes a"
            " ON a.study_id = s.study_id WHERE a.key = :key ORDER BY s.study_id"
        ),
        {"key": key},
    )
    return [(name, text) for name, text in rows if isinstance(name, str) and is_study_name(name)]


def _names(connection: sqlalchemy.Connection) -> list[str]:
    """Those of cnnsearch's studies: other programs may keep theirs in the same database."""
    return [name for name, _ in _having(connection, attributes.VERSION)]


def _found(connection: sqlalchemy.Connection, name: str) -> dict[str, Any] | None:
    """The attributes of a study of ours."""
    rows = connection.execute(
        sqlalchemy.text(
            "SELECT a.key, a.value_json FROM study_user_attributes a"
            " JOIN studies s ON s.study_id = a.study_id WHERE s.study_name = :name"
        ),
        {"name": name},
    ).all()
    if not any(key == attributes.VERSION for key, _ in rows):
        return None
    return {key: stored.of_study(key, value) for key, value in rows}


def _attributes(connection: sqlalchemy.Connection | None, name: str) -> dict[str, Any]:
    """Those of a study that was there a moment ago."""
    found = _found(connection, name) if connection else None
    if found is None:
        raise InputError(f"study {name} is gone.")
    return found


def _summary(name: str, attrs: Mapping[str, Any], trials: Sequence[Trial]) -> StudySummary:
    with stored.whole(f"the config of study {name}"):
        config = attrs[attributes.CONFIG]
        direction = DIRECTIONS[config["search"]["objective"]]
    best = ranking.best(trials, direction)
    starts = [trial.started for trial in trials if trial.started is not None]
    ends = [trial.started + (trial.seconds or 0.0) for trial in trials if trial.started is not None]
    return StudySummary(
        name=name,
        counts=ranking.counts(trials),
        best=best.value if best else None,
        direction=direction,
        started=min(starts, default=None),
        updated=max(ends, default=None),
        planned=attrs.get(attributes.PLANNED),
        config=config,
        repeats=(attrs.get(attributes.RERUN) or {}).get("study"),
        stage=bool(attrs.get(attributes.STAGE)),
        command=attributes.continuing(attrs),
    )


def _trials(
    storage: str,
    name: str,
    connection: sqlalchemy.Connection | None,
    keys: Sequence[str] = attributes.LISTED,
    numbers: Sequence[int] | None = None,
) -> list[Trial]:
    if connection is None:
        return []
    rows = list(
        _rows(connection, name, keys, numbers)
        if _version(connection) == TABLES_VERSION
        else _rows_through_optuna(storage, name, keys, numbers)
    )
    running = any(state == "RUNNING" for _, state, _, _ in rows)
    owned = running and is_held(storage, name)
    marks = _marks(connection, name)
    return [
        attributes.with_marks(_trial(row, owned), marks.get(str(row[0])))
        for row in rows
        if attributes.KEY in row[3]
    ]


def _marks(connection: sqlalchemy.Connection, name: str) -> Mapping[str, Any]:
    """What users said of the study's trials, by their numbers as texts."""
    marks = connection.execute(
        sqlalchemy.text(
            "SELECT a.value_json FROM study_user_attributes a"
            " JOIN studies s ON s.study_id = a.study_id WHERE s.study_name = :name AND a.key = :key"
        ),
        {"name": name, "key": attributes.MARKS},
    ).scalar()
    return {} if marks is None else dict(stored.of_study(attributes.MARKS, marks))


def _version(connection: sqlalchemy.Connection) -> str | None:
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()


def _rows(
    connection: sqlalchemy.Connection,
    name: str,
    keys: Sequence[str],
    numbers: Sequence[int] | None,
) -> Iterator[Row]:
    some = "" if numbers is None else " AND t.number IN :numbers"
    trials = sqlalchemy.text(  # only `some` is put in, which is ours
        "SELECT t.trial_id, t.number, t.state, v.value FROM trials t"  # noqa: S608
        " JOIN studies s ON s.study_id = t.study_id"
        " LEFT JOIN trial_values v ON v.trial_id = t.trial_id AND v.objective = 0"
        f" WHERE s.study_name = :name{some} ORDER BY t.number"
    )
    attrs = sqlalchemy.text(
        "SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a"  # noqa: S608
        " JOIN trials t ON t.trial_id = a.trial_id JOIN studies s ON s.study_id = t.study_id"
        f" WHERE s.study_name = :name AND a.key IN :keys{some}"
    ).bindparams(sqlalchemy.bindparam("keys", expanding=True))
    bound: dict[str, Any] = {"name": name}
    if numbers is not None:
        trials = trials.bindparams(sqlalchemy.bindparam("numbers", expanding=True))
        attrs = attrs.bindparams(sqlalchemy.bindparam("numbers", expanding=True))
        bound["numbers"] = list(numbers)
    found: dict[int, dict[str, Any]] = {}
    for trial_id, key, value in connection.execute(attrs, {**bound, "keys": list(keys)}):
        found.setdefault(trial_id, {})[key] = stored.of_trial(key, value)
    for trial_id, number, state, value in connection.execute(trials, bound):
        yield number, state, value, attributes.unfolded(found.get(trial_id, {}))


def _rows_through_optuna(
    storage: str, name: str, keys: Sequence[str], numbers: Sequence[int] | None
) -> Iterator[Row]:
    from cnnsearch.study.database import opened

    with opened(storage) as database:
        try:
            study_id = database.get_study_id_from_name(name)
        except KeyError:
            return
        for found in database.get_all_trials(study_id, deepcopy=False):
            if numbers is None or found.number in numbers:
                values = found.values  # `.value` of a pruned trial would be its last report
                attrs = {
                    key: stored.checked_of_trial(key, value)
                    for key, value in found.user_attrs.items()
                    if key in keys
                }
                value = values[0] if values else None
                yield found.number, found.state.name, value, attributes.unfolded(attrs)


def _trial(row: Row, owned: bool) -> Trial:
    if not stored.is_row(row):
        raise DamagedError(f"a trial has the number {row[0]!r:.40}, state {row[1]!r:.40} and value"
                           f" {row[2]!r:.40}")  # fmt: skip
    with stored.whole(f"trial {row[0]}"):
        return _whole_trial(row, owned)


def _whole_trial(row: Row, owned: bool) -> Trial:
    number, optuna_state, value, attrs = row
    result = attrs.get(attributes.RESULT)
    state = state_of(optuna_state, result, owned)
    begun = Trial(
        number=number,
        point=attrs[attributes.POINT],
        key=attrs[attributes.KEY],
        attempt=attrs[attributes.ATTEMPT],
        state=state,
        value=None,
        params=attrs[attributes.PARAMS],
        epochs=0,
        best_epoch=None,
        seconds=None,
        reason=COORDINATOR_DIED if state is State.KILLED else None,
        seed=attrs[attributes.SEED],
        started=attrs.get(attributes.STARTED),
        curve=attributes.curve_of(attrs.get(attributes.CURVE)),
        folds=tuple(map(attributes.curve_of, attrs.get(attributes.FOLDS, ()))),
        config=attrs.get(attributes.CONFIG),
    )
    begun = attributes.with_probes(begun, attrs.get(attributes.PROBES))
    if result is None or State(result["state"]) is not state:
        return begun  # the coordinator died between writing the result and the state
    return replace(
        begun,
        value=value if state is State.COMPLETE else None,
        epochs=result["epochs"],
        best_epoch=result["best_epoch"],
        seconds=result.get("seconds"),
        reason=result["reason"],
        facts=result["facts"],
        diagnosis=attributes.diagnosis_of(result.get("diagnosis")),
    )
