"""A study and the right to write it: everything that changes the storage goes through here."""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from cnnsearch import __version__
from cnnsearch.config import Config
from cnnsearch.errors import CnnsearchError, StorageGoneError, StudyBusyError
from cnnsearch.own import digests
from cnnsearch.ranking import last_attempts
from cnnsearch.records import Params, Start, State, Trial
from cnnsearch.study import attributes, read, requests
from cnnsearch.study.backends import backend
from cnnsearch.study.database import open_storage, opened, study_id, told
from cnnsearch.study.distributions import to_optuna
from cnnsearch.study.lock import StudyLock
from cnnsearch.study.pruners import make_pruner
from cnnsearch.study.resuming import check_resume
from cnnsearch.study.samplers import draw, make_sampler, optuna_distributions
from cnnsearch.study.writer import Gone, Writer, bury

# So often a coordinator asks the storage for requests.
_LOOK_S = 0.5


class Study:
    """A study that this process owns, from `claim` to `release`."""

    def __init__(
        self,
        storage: str,
        config: Config,
        lock: StudyLock,
        fingerprint: str,
        database: RDBStorage,
    ) -> None:
        assert config.search is not None
        assert config.space is not None
        self.name = config.study
        self.storage = storage
        self.fingerprint = fingerprint
        self.config = config
        self.search = config.search
        self.space = config.space
        self.run = uuid.uuid4().hex[:12]
        self._lock = lock
        self._backend = backend(storage)
        self._database = database
        self._id = study_id(self._database, config)
        self._cached = optuna.storages.get_storage(self._database)  # finished trials, read once
        self._sampler = make_sampler(self.search.sampler, self.space, config.seed)
        self._pruner = make_pruner(self.search.pruner)
        self._distributions = optuna_distributions(self.space)
        self._writer = Writer(storage, self.name, self._id, self.run, self._database)
        self._next = 0  # the number that the next trial will most likely have
        self._stops: list[requests.Request] = []
        self._looked = -math.inf
        self._seen: int | None = None  # the version of the file that requests were looked for in

    @classmethod
    def claim(
        cls,
        storage: str,
        config: Config,
        fingerprint: str,
        planned: int,
        repeats: Mapping[str, Any] | None = None,
        command: str | None = None,
    ) -> Study:
        """Open or create the study of a config and take the right to write it.

        Args:
            fingerprint: of the data set's content.
            planned: number of points that it is to have.
            repeats: of a study that repeats trials of another one, see `attributes.RERUN`.
            command: what continues it, see `attributes.COMMAND`.

        Raises:
            StudyBusyError: another living process owns it.
            InputError: the stored config, or the data, differ in what affects results.
        """
        lock = StudyLock(storage, config.study)
        if not lock.acquire():
            raise StudyBusyError(busy_message(storage, config.study))
        try:
            check_resume(storage, config, fingerprint, repeats)
            own = {attributes.RERUN: repeats, attributes.COMMAND: command}
            given = {name: value for name, value in own.items() if value is not None}
            return cls._claimed(storage, config, lock, fingerprint, planned, given)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _claimed(
        cls,
        storage: str,
        config: Config,
        lock: StudyLock,
        fingerprint: str,
        planned: int,
        given: Mapping[str, Any],
    ) -> Study:
        with told(storage):
            database = open_storage(storage)
            try:
                study = cls(storage, config, lock, fingerprint, database)
                study._take(planned, given)
            except BaseException:
                database.engine.dispose()
                raise
        study.apply_requests()
        study.stops()  # those were meant for a search that has ended
        return study

    def _take(self, planned: int, given: Mapping[str, Any]) -> None:
        """Make the study this process's, as it was or new.

        Args:
            given: attributes that the one who claims it gives it.
        """
        self._set(attributes.COORDINATOR, _coordinator(self.run))
        for name, value in given.items():
            self._set(name, value)
        self._set(attributes.CONFIG, self.config.plain())
        self._set(attributes.FINGERPRINT, self.fingerprint)
        self._set(attributes.VERSION, __version__)
        self._set(attributes.OWN_FILES, digests(self.config.own_names()))
        self._writer.take_in()
        self._bury_the_dead()
        self._set(attributes.PLANNED, max(planned, len(last_attempts(self.trials()))))

    def release(self) -> None:
        """Give the study back; what cannot be stored is kept in a file, see `Writer.close`."""
        try:
            with suppress(CnnsearchError):  # what still waits is for the next owner
                if self.gone is not None:
                    self._try_again()
                self.apply_requests(0.0)
            self._writer.close()
        finally:
            self._database.engine.dispose()
            self._lock.release()

    def trials(self) -> list[Trial]:
        """All attempts, by number, without curves."""
        return read.trials(self.storage, self.name)

    def draw(self, k: int) -> Params:
        """The parameters of point `k`; only for tpe do they depend on the trials so far."""
        with told(self.storage):
            return draw(self._sampler, self._optuna_study(), self.space, k)

    def begin(self, start: Start) -> Trial:
        """Create the running trial of an attempt, in one transaction."""
        started = time.time()
        attrs = {
            attributes.BEGUN: attributes.of_begin(start, self.run, started),
            # The study's config and the parameters would give it too; this is what was run.
            attributes.CONFIG: self.config.at(start.params, start.seed).plain(),
        }
        with told(self.storage):
            trial_id = self._create(start.params, attrs)
            number = self._number(trial_id)
        self._writer.ids[number], self._next = trial_id, number + 1
        return Trial(
            number=number,
            point=start.point,
            key=start.key,
            attempt=start.attempt,
            state=State.RUNNING,
            value=None,
            params=start.params,
            epochs=0,
            best_epoch=None,
            seconds=None,
            reason=None,
            seed=start.seed,
            started=started,
        )

    def _number(self, trial_id: int) -> int:
        """The number of a trial just made: Optuna reads all of it to tell, 1.3 ms; whether it is
        the next one, 0.3.
        """
        with suppress(KeyError):
            expected = self._database.get_trial_id_from_study_id_trial_number(self._id, self._next)
            if expected == trial_id:
                return self._next
        return self._database.get_trial_number_from_id(trial_id)

    def _create(self, params: Params, attrs: Mapping[str, Any]) -> int:
        try:
            return self._create_with(params, attrs)
        except ValueError:
            # Optuna refuses other choices for a name than the first trial had, and a grid may have
            # gained some since. The attribute `params` holds all of them in any case.
            return self._create_with(self._compatible(params), attrs)

    def _create_with(self, params: Params, attrs: Mapping[str, Any]) -> int:
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params={name: to_optuna(value) for name, value in params.items()},
            distributions={name: self._distributions[name] for name in params},
            user_attrs=dict(attrs),
        )
        return self._database.create_new_trial(self._id, template)

    def _compatible(self, params: Params) -> Params:
        """The parameters that Optuna takes beside those of the trials before."""
        stored: dict[str, BaseDistribution] = {}
        for trial in self._database.get_all_trials(self._id, deepcopy=False):
            stored = {**trial.distributions, **stored}
        return {
            name: value
            for name, value in params.items()
            if name not in stored
            or not isinstance(stored[name], CategoricalDistribution)
            or stored[name] == self._distributions[name]
        }

    def report(self, number: int, step: int, value: float) -> None:
        """Store the objective after an epoch, or its mean after a fold; both count from 1.

        At once where a pruner will ask, else within half a second, see `apply_requests`.
        """
        self._writer.report(number, step, value, at_once=self._pruner is not None)

    @property
    def gone(self) -> Gone | None:
        """Since when and why the storage cannot be written, where it cannot: results wait."""
        return self._writer.gone

    def is_gone(self, error: StorageGoneError) -> None:
        """The storage said so: it is tried again after a pause, see `apply_requests`."""
        self._writer.is_gone(error)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner gives the trial up after the epoch reported last."""
        if self._pruner is None or self.gone is not None:
            return False
        try:
            with told(self.storage):
                trial: FrozenTrial = self._database.get_trial(self._writer.ids[number])
                return self._pruner.prune(self._optuna_study(), trial)
        except StorageGoneError as error:
            self.is_gone(error)
            return False

    def _optuna_study(self) -> optuna.Study:
        """Optuna's study as it stands now: one that is kept shows samplers its first list of trials
        for ever (it is dropped in `ask` only), and TPE never learns."""
        return optuna.load_study(study_name=self.name, storage=self._cached)

    def finish(self, trial: Trial) -> None:
        """Store how a running trial ended, see `cnnsearch.ending.ended`, in one transaction.

        Where the storage is gone it waits, see `gone`.
        """
        self._writer.end(trial)

    def apply_requests(self, every_s: float = _LOOK_S) -> None:
        """Do what `tag`, `note` and `hide` ask for; at most once in so many seconds.

        What asks to stop is kept for `stops`. Store also what has waited long enough: this is
        called between messages.

        Raises:
            StudyBusyError: the storage was gone, and meanwhile another process took the study.
        """
        now = time.monotonic()
        if self.gone is not None:
            if now >= self.gone.again:
                self._try_again()
            return
        self._writer.write_held()
        if now - self._looked >= every_s:
            self._looked = now
            try:
                self._look()
            except StorageGoneError as error:
                self.is_gone(error)

    def stops(self) -> list[requests.Request]:
        """What `stop` asked for since the last call, see `cnnsearch.study.requests.STOP`."""
        found, self._stops = self._stops, []
        return found

    def _look(self) -> None:
        # A server that was started anew between two writes has forgotten whose the study is.
        self._keep_lock()
        with told(self.storage):
            version = self._backend.version(self._database.engine)
            if version is None or version != self._seen:
                requests.apply(self._database, self._id, self._stops.append)
                self._seen = version  # told before what it tells was read, so nothing is missed

    def _try_again(self) -> None:
        """Look whether the storage is back, and store what waits."""
        try:
            self._keep_lock()
            self._writer.try_again()
        except StorageGoneError as error:
            self.is_gone(error)

    def _keep_lock(self) -> None:
        """Make sure that the study is still this process's.

        Raises:
            StudyBusyError: it is not.
        """
        if not self._lock.keep():
            raise StudyBusyError(busy_message(self.storage, self.name))

    def _bury_the_dead(self) -> None:
        """Mark what a dead coordinator left running as killed."""
        running = self._database.get_all_trials(self._id, states=(TrialState.RUNNING,))
        bury(self._database, running, read.COORDINATOR_DIED)

    def keep_stage(self, place: Mapping[str, Any]) -> None:
        """Store which stage of which chain the study is."""
        with told(self.storage):
            self._set(attributes.STAGE, dict(place))

    def _set(self, key: str, content: Any) -> None:
        self._database.set_study_user_attr(self._id, key, content)


def busy_message(storage: str, name: str) -> str:
    """Who owns a study, for the one who is refused."""
    attrs = read.study_attributes(storage, name) or {}
    owner = attrs.get(attributes.COORDINATOR, {})
    who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
    return f"study {name} is running: {who} owns it. Wait for it, or end it: cnnsearch stop {name}."


def remove(storage: str, name: str) -> None:
    """Delete a study with all its trials.

    Raises:
        StudyBusyError: a living process owns it.
    """
    lock = StudyLock(storage, name)
    if not lock.acquire():
        raise StudyBusyError(busy_message(storage, name))
    try:
        with told(storage), opened(storage) as database:
            database.delete_study(database.get_study_id_from_name(name))
    finally:
        lock.release()


def _coordinator(run: str) -> dict[str, Any]:
    return {"run": run, "host": socket.gethostname(), "pid": os.getpid(), "started": time.time()}
