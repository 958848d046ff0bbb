"""Requests to the owner of a study: what `tag`, `note`, `hide` and `stop` ask for.

A request is a study attribute of its own, written in one transaction whether or not a coordinator
runs. The owner turns all that wait into the study's attribute `marks`, in one transaction too, and
then writes null in their places. Marks are not attributes of trials because Optuna lets nobody
write to a trial that has ended. It deletes no attribute either, so the places of requests that were
applied are used again, and there are only as many as ever waited at one time.

What `stop` asks for only a running search can do, which takes it from its place; where none runs it
is dropped.

Nothing is lost by a kill at any moment: a request whose marks are written and whose place is not
yet null is applied again, which changes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from itertools import count as count_from
from typing import TYPE_CHECKING, Any

from cnnsearch.errors import InputError
from cnnsearch.study import attributes
from cnnsearch.study.backends import backend
from cnnsearch.study.lock import StudyLock

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from cnnsearch.records import Trial

Request = Mapping[str, Any]
"""`verb`, `trials` (numbers), and what the verb needs besides; see `MARKING`."""
Mark = Mapping[str, Any]
"""Of one trial: `tags`, `note`, `hidden`, `tests` (results of the verb), absent where none."""
STOP = "stop"
"""Of `trials`, or with none of the search; `now`: waiting for no epoch, and no trial to end."""
# A coordinator looks every half second, between the messages of its workers.
PATIENCE_S = 3.0


def _tag(mark: Mark, request: Request) -> Mark:
    tags = (set(mark.get("tags", ())) - set(request["remove"])) | set(request["add"])
    return {**mark, "tags": sorted(tags)}


def _note(mark: Mark, request: Request) -> Mark:
    return {**mark, "note": request["text"]}


def _hide(mark: Mark, request: Request) -> Mark:
    return {**mark, "hidden": request["hidden"]}


def _test(mark: Mark, request: Request) -> Mark:
    tests = list(mark.get("tests", ()))
    return {**mark, "tests": tests if request["result"] in tests else [*tests, request["result"]]}


MARKING: Mapping[str, Callable[[Mark, Request], Mark]] = {
    "tag": _tag,
    "note": _note,
    "hide": _hide,
    "test": _test,
}
"""What a request makes of a trial's mark, by verb. Doing it twice is doing it once."""


def marked(marks: Mapping[str, Mark], request: Request, count: int) -> dict[str, Mark]:
    """The marks of a study's trials once a request is applied.

    Args:
        marks: by the trial's number, as a text.
        count: of the study's trials; what is asked of others is dropped.
    """
    found = dict(marks)
    for number in request["trials"]:
        if 0 <= number < count:
            mark = MARKING[request["verb"]](found.get(str(number), {}), request)
            found[str(number)] = {name: value for name, value in mark.items() if value}
    return {number: mark for number, mark in found.items() if mark}


def changes(trial: Trial, request: Request) -> bool:
    """Whether a request makes a difference to a trial as it was read."""
    mark = {"tags": list(trial.tags), "note": trial.note, "hidden": trial.hidden}
    return MARKING[request["verb"]](mark, request) != mark


def waiting(attrs: Mapping[str, Any]) -> dict[str, Request]:
    """The requests among a study's attributes by their places, in the order they were left."""
    found = {
        key: request
        for key, request in attrs.items()
        if key.startswith(attributes.REQUEST) and request is not None
    }
    return dict(sorted(found.items(), key=lambda item: item[1]["order"]))


def apply(
    database: RDBStorage, study_id: int, stop: Callable[[Request], None] = lambda _: None
) -> None:
    """Apply what waits; only for the one who holds the study's lock.

    Args:
        stop: takes what asks to stop, before its place is emptied: where the storage fails between
            the two it takes it once more, and that asks for nothing new. By default nothing does.
    """
    attrs = database.get_study_user_attrs(study_id)
    found = waiting(attrs)
    mine = {key: one for key, one in found.items() if one["verb"] in MARKING}
    stops = {key: one for key, one in found.items() if one["verb"] == STOP}
    if mine:
        count = database.get_n_trials(study_id)
        marks = attrs.get(attributes.MARKS, {})
        for request in mine.values():
            marks = marked(marks, request, count)
        database.set_study_user_attr(study_id, attributes.MARKS, marks)
    for request in stops.values():
        stop(request)
    for key in (*mine, *stops):
        database.set_study_user_attr(study_id, key, None)


def leave(database: RDBStorage, storage: str, study_id: int, request: Request) -> str:
    """Write a request in one transaction, for whoever owns the study.

    The lock keeps two who leave requests at one moment from taking the same free place; the owner
    of the study only frees places.

    Returns:
        Its name, by which `is_waiting` knows it.
    """
    name = uuid.uuid4().hex
    with backend(storage).exclusively():
        attrs = database.get_study_user_attrs(study_id)
        orders = [one["order"] for one in waiting(attrs).values()]
        places = (f"{attributes.REQUEST}{i}" for i in count_from())
        place = next(place for place in places if attrs.get(place) is None)
        content = {**request, "name": name, "order": max(orders, default=0) + 1}
        database.set_study_user_attr(study_id, place, content)
    return name


def is_waiting(database: RDBStorage, study_id: int, name: str) -> bool:
    """Whether a request was not yet applied."""
    attrs = database.get_study_user_attrs(study_id)
    return any(request["name"] == name for request in waiting(attrs).values())


def ask(storage: str, study: str, request: Request, patience_s: float | None = None) -> bool:
    """Leave a request and wait until it is applied: by a living coordinator, else here.

    Args:
        patience_s: so long it is waited for; by default `PATIENCE_S`.

    Returns:
        Whether it is. If not, the coordinator is busy, and applies it when it can.

    Raises:
        InputError: the study is gone.
        CnnsearchError: the storage cannot be written.
    """
    from cnnsearch.study.database import opened, told

    patience_s = PATIENCE_S if patience_s is None else patience_s
    with told(storage), opened(storage) as database:
        study_id = _study_id(database, study)
        name = leave(database, storage, study_id, request)
        return _wait(database, StudyLock(storage, study), study_id, name, patience_s)


def _study_id(database: RDBStorage, study: str) -> int:
    try:
        return database.get_study_id_from_name(study)
    except KeyError:
        raise InputError(f"study {study} is gone. See what is there: cnnsearch list.") from None


def _wait(
    database: RDBStorage, lock: StudyLock, study_id: int, name: str, patience_s: float
) -> bool:
    """Wait until a request is applied; as soon as nobody owns the study, apply it."""
    deadline = time.monotonic() + patience_s
    while True:
        if lock.acquire():  # waits up to half a second
            try:
                apply(database, study_id)
            finally:
                lock.release()
        if not is_waiting(database, study_id, name):
            return True
        if time.monotonic() >= deadline:
            return False
