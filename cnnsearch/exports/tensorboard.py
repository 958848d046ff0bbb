"""Trials as TensorBoard reads them: a folder a trial, with one file of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cnnsearch import drafts
from cnnsearch.errors import MissingExtraError
from cnnsearch.exports.told import METRICS, description, plain_params, states
from cnnsearch.records import State, StudySummary, Trial

FILE = "events.out.tfevents.0.cnnsearch"
"""One name for all, so that a file takes the place of that of an earlier export."""
_DRAFT = "cnnsearch.events"  # TensorBoard reads all of `*tfevents*`
OBJECTIVE = "objective"
"""The scalar of a complete trial's value."""


def check_installed() -> None:
    """Look whether TensorBoard is there.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise MissingExtraError(
            "--tensorboard needs TensorBoard. Run: pip install 'cnnsearch[tensorboard]'"
        )


def write(
    folder: Path, summary: StudySummary, trials: Sequence[Trial], lost: Sequence[Trial] = ()
) -> None:
    """Write the trials of a study, each into FOLDER/NUMBER.

    The names of the hyperparameters, and the metrics of the HPARAMS page, TensorBoard finds in the
    trials themselves: so the trials of several studies can stand in one folder.

    Args:
        trials: with their curves.
        lost: attempts that were run again: written where an earlier export wrote them.

    Raises:
        OSError: it cannot be written.
    """
    from tensorboard.summary.writer.record_writer import RecordWriter

    there = [trial for trial in lost if (folder / str(trial.number) / FILE).exists()]
    for trial in (*trials, *there):
        run = folder / str(trial.number)
        run.mkdir(parents=True, exist_ok=True)
        with drafts.replacing(run / FILE, _DRAFT) as file:
            writer = RecordWriter(file)
            for event in _events(summary, trial):
                writer.write(event.SerializeToString())


def _events(summary: StudySummary, trial: Trial) -> Iterator[Any]:
    """The events of a trial, at the times when they happened."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    started = trial.started or 0.0
    yield Event(wall_time=started, file_version="brain.Event:2")
    told = {**plain_params(trial.params), **states(trial)}
    hparams = hparams_pb(told, f"{summary.name}/{trial.number}", started)
    yield Event(wall_time=started, step=0, summary=hparams)
    yield Event(wall_time=started, step=0, summary=_text("trial", description(summary, trial)))
    now = started
    for result in trial.curve:
        now += result.seconds
        scalars = [(name, getattr(result, name)) for name in METRICS]
        yield Event(wall_time=now, step=result.epoch, summary=_scalars(scalars))
    if trial.value is not None:
        scalars = [(OBJECTIVE, trial.value)]
        yield Event(wall_time=now, step=trial.best_epoch or 0, summary=_scalars(scalars))
    if trial.state is not State.RUNNING:
        yield Event(wall_time=now, summary=_end(trial, started + (trial.seconds or 0.0)))


def _scalars(values: Sequence[tuple[str, float]]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])


def _text(tag: str, text: str) -> Any:
    """A text; as a block of code, since TensorBoard takes texts for Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    block = "\n".join(f"    {line}" for line in text.splitlines())
    value = Summary.Value(
        tag=tag, metadata=create_summary_metadata(tag, ""), tensor=make_tensor_proto(block)
    )
    return Summary(value=[value])


def _end(trial: Trial, ended: float) -> Any:
    """How the trial ended, for the HPARAMS page."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    lost = trial.state in (State.FAILED, State.KILLED)
    status = api_pb2.STATUS_FAILURE if lost else api_pb2.STATUS_SUCCESS
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])
