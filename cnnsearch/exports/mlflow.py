"""Trials as runs of MLflow: one a trial, below one of their study."""

from __future__ import annotations

import logging
import math
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnsearch import __version__
from cnnsearch.errors import CnnsearchError, InputError, MissingExtraError
from cnnsearch.exports.told import METRICS, description, plain_params, states
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render.trials import objective

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"
STUDY, TRIAL = "cnnsearch.study", "cnnsearch.trial"
# Of a study, or of a trial: tells it from one of its name that has been deleted since.
_STARTED, _EPOCHS = "cnnsearch.started", "cnnsearch.epochs"
_STATUS = {
    State.COMPLETE: "FINISHED",
    State.PRUNED: "FINISHED",
    State.DIVERGED: "FINISHED",
    State.FAILED: "FAILED",
    State.KILLED: "KILLED",
}
_AT_ONCE = 1000  # metrics of a request, by MLflow's limit
# Which class of whose an error is, the statement, and where more is told of it.
_SQLALCHEMY = re.compile(
    r"\(\w+(\.\w+)+\) |\[SQL: .*|\(Background on this error at: \S+\)", re.ASCII | re.DOTALL
)
_USER = re.compile(r"(?<=://)\S*@|(?<=password=)[^&\s]*")
# MLflow tells its makers of each use, tries for minutes to reach a server, and prints two lines of
# addresses for each run that ends.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def shown(uri: str) -> str:
    """A URI as messages name it, without user and password."""
    return _USER.sub("", uri)


@contextmanager
def connected(uri: str) -> Iterator[MlflowClient]:
    """A client of a tracking server or database; its errors in one line, without the password.

    Raises:
        MissingExtraError: MLflow is not installed.
        InputError: a URI that MLflow does not take.
        CnnsearchError: what MLflow says.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from alembic.util import CommandError
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise MissingExtraError(
            "--mlflow needs MLflow. Run: pip install 'cnnsearch[mlflow]'"
        ) from None
    _check_scheme(uri)
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        _check_database(uri)
        yield MlflowClient(tracking_uri=uri)
    except CnnsearchError:
        raise
    # Of a database also SQLAlchemy's, of its driver and tables, and of the folder of its file.
    except (MlflowException, SQLAlchemyError, CommandError, ImportError, OSError) as error:
        said = " ".join(str(error).replace(uri, shown(uri)).split())
        said = _USER.sub("", _SQLALCHEMY.sub("", said)).strip()
        raise CnnsearchError(f"--mlflow {shown(uri)}: {said[:300]}") from None


def _check_scheme(uri: str) -> None:
    """Refuse what MLflow would refuse in many words, or take for a folder.

    Raises:
        InputError: it is no URL, or that of a folder.
    """
    scheme, separator, _ = uri.partition("://")
    if separator and scheme != "file":
        return
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() == "true":
        return
    raise InputError(
        f"--mlflow {shown(uri)}: MLflow no longer writes to folders. Write sqlite:///mlflow.db, or "
        "the address of a server, such as http://127.0.0.1:5000."
    )


def _check_database(uri: str) -> None:
    """Refuse a database of studies: MLflow would make tables in it before it fails.

    Raises:
        InputError: Optuna's tables are there, or it is a file of another kind, or may not be
            written.
    """
    import sqlalchemy
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if re.split(r"[+:]", uri)[0] not in DATABASE_ENGINES:
        return
    url = sqlalchemy.make_url(uri)
    if url.get_backend_name() == "sqlite" and url.database:
        path = Path(url.database)
        _check_writable(uri, path)
        if not path.is_file():
            return  # MLflow makes it, and its folder
    engine = sqlalchemy.create_engine(url)
    try:
        if not sqlalchemy.inspect(engine).has_table("studies"):
            return
        wrong = "holds studies"
    except sqlalchemy.exc.DatabaseError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
            raise
        wrong = "is no database"
    finally:
        engine.dispose()
    raise InputError(f"--mlflow {shown(uri)}: {wrong}. Write another, as sqlite:///mlflow.db.")


def _check_writable(uri: str, path: Path) -> None:
    """Refuse a file that cannot be made or written, of which MLflow would tell in many words.

    Raises:
        InputError: with what to do.
    """
    folder = path.absolute().parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent  # which MLflow makes
    for place, what in ((folder, "that folder"), (path, "it")):
        if os.path.lexists(place) and not os.access(place, os.W_OK):
            raise InputError(
                f"--mlflow {shown(uri)}: {place} cannot be written. Make {what} writable, or write "
                "another path, as sqlite:////DIR/mlflow.db."
            )


def write(
    client: MlflowClient,
    summary: StudySummary,
    trials: Sequence[Trial],
    lost: Sequence[Trial] = (),
) -> tuple[int, int]:
    """Write the trials of a study; those that an earlier export wrote are brought up to date.

    Args:
        trials: with their curves.
        lost: attempts that were run again: brought up to date where they are there.

    Returns:
        how many of the trials' runs are new, and how many were there.
    """
    experiment = _experiment(client, summary.name)
    parent, found = _earlier(client, experiment, summary)
    if parent is None:
        parent = _new_parent(client, experiment, summary)
    known = str(parent.info.run_id)
    new = 0
    for trial in trials:
        run = found.get(_identity(trial))
        if run is None:
            run = _new(client, experiment, known, summary, trial)
            new += 1
        _update(client, run, summary, trial)
    for trial in lost:
        run = found.get(_identity(trial))
        if run is not None:
            _update(client, run, summary, trial)
    _update_parent(client, parent, summary)
    return new, len(trials) - new


def _identity(trial: Trial) -> tuple[str, str]:
    """Tells a trial from one of its number in a study of its name that was deleted."""
    return str(trial.number), repr(trial.started)


def _experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment of a study, which has its name; it is created when absent."""
    there = client.get_experiment_by_name(name)
    if there is None:
        return str(client.create_experiment(name))
    if there.lifecycle_stage != "active":
        raise InputError(
            f"--mlflow: the experiment {name} was deleted in MLflow. Restore it there: "
            f"mlflow experiments restore --experiment-id {there.experiment_id}"
        )
    return str(there.experiment_id)


def _earlier(
    client: MlflowClient, experiment: str, summary: StudySummary
) -> tuple[Any, dict[tuple[str, str], Any]]:
    """The run of the study, and those of its trials by number and start, if they are there."""
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`{STUDY}` = '{summary.name}'", page_token=token
        )
        runs += page
        token = page.token
        if not token:
            break
    of_study = [
        run
        for run in runs
        if TRIAL not in run.data.tags and run.data.tags.get(_STARTED) == repr(summary.started)
    ]
    if not of_study:
        return None, {}
    parent = of_study[-1]
    found = {
        (run.data.tags[TRIAL], run.data.tags.get(_STARTED, "")): run
        for run in runs
        if run.data.tags.get(PARENT) == parent.info.run_id and TRIAL in run.data.tags
    }
    return parent, found


def _new_parent(client: MlflowClient, experiment: str, summary: StudySummary) -> Any:
    tags = {STUDY: summary.name, _STARTED: repr(summary.started)}
    at = _milliseconds(summary.started)
    return client.create_run(experiment, at, tags, run_name=summary.name)


def _update_parent(client: MlflowClient, parent: Any, summary: StudySummary) -> None:
    """The study's run: what it searches by, its best value so far, and whether it is over."""
    from mlflow.entities import Param, RunTag

    known, name = parent.info.run_id, f"best_{objective(summary)}"
    search = dict(summary.config.get("search") or {})
    told = {key: search.get(key) for key in ("sampler", "objective", "at", "pruner")}
    told["seed"] = summary.config.get("seed")
    params = [Param(key, str(told[key])) for key in told if key not in parent.data.params]
    client.log_batch(known, params=params, tags=[RunTag("cnnsearch.version", __version__)])
    if summary.best is not None and parent.data.metrics.get(name) != summary.best:
        client.log_metric(known, name, summary.best)  # at this time: MLflow takes the latest
    if summary.counts.get(State.RUNNING):
        client.update_run(known, status="RUNNING")
    else:
        client.set_terminated(known, "FINISHED", _milliseconds(summary.updated))


def _new(
    client: MlflowClient, experiment: str, parent: str, summary: StudySummary, trial: Trial
) -> Any:
    tags = {
        STUDY: summary.name,
        TRIAL: str(trial.number),
        _STARTED: repr(trial.started),
        PARENT: parent,
        "seed": str(trial.seed),
        "attempt": str(trial.attempt),
    }
    at = _milliseconds(trial.started)
    name = f"{summary.name}/{trial.number}"
    return client.create_run(experiment, at, tags, run_name=name)


def _update(client: MlflowClient, run: Any, summary: StudySummary, trial: Trial) -> None:
    """Write what an earlier export did not; of a run that is new, all."""
    from mlflow.entities import Param, RunTag

    known, before = run.info.run_id, run.data.tags
    ended = (trial.started or 0.0) + (trial.seconds or 0.0)
    seen = int(before.get(_EPOCHS, 0))
    metrics = [metric for metric in _metrics(trial) if metric.step > seen]
    if trial.value is not None and before.get("state") != State.COMPLETE:
        metrics.append(_metric("objective", trial.value, ended, trial.best_epoch or 0))
    _log(client, known, metrics)
    tags = {
        **states(trial),
        "cnnsearch.version": __version__,
        "tags": ", ".join(trial.tags),
        "mlflow.note.content": description(summary, trial),
        _EPOCHS: str(len(trial.curve)),
    }
    # Last, as they tell the next export what is written.
    changed = [RunTag(name, text) for name, text in tags.items() if before.get(name, "") != text]
    params = [
        Param(name, str(value))
        for name, value in plain_params(trial.params).items()
        if name not in run.data.params
    ]
    if params or changed:
        client.log_batch(known, params=params, tags=changed)
    status = _STATUS.get(trial.state)
    if status is not None and run.info.status != status:
        client.set_terminated(known, status, _milliseconds(ended))


def _metrics(trial: Trial) -> Iterator[Any]:
    now = trial.started or 0.0
    for result in trial.curve:
        now += result.seconds
        for name in METRICS:
            value = getattr(result, name)
            if math.isfinite(value):
                yield _metric(name, value, now, result.epoch)


def _metric(name: str, value: float, at: float, step: int) -> Any:
    from mlflow.entities import Metric

    return Metric(name, value, _milliseconds(at), step)


def _log(client: MlflowClient, run: str, metrics: Sequence[Any]) -> None:
    for first in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run, metrics=list(metrics[first : first + _AT_ONCE]))


def _milliseconds(at: float | None) -> int:
    return round((at or 0.0) * 1000)
