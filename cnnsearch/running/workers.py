"""Where the trials of a command run: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnnsearch.config import Config
from cnnsearch.executors import Executor
from cnnsearch.own import digests
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted

if TYPE_CHECKING:
    from cnnsearch.executors.cluster import Cluster
    from cnnsearch.executors.remote import Needs
    from cnnsearch.preflight import Preflight


class Workers(Protocol):
    """What a command needs to know of them."""

    @contextmanager
    def begun(self) -> Iterator[None]:
        """For as long as this lasts they can be had; what they need is begun to be loaded.

        Raises:
            InputError: the cluster is not there.
        """
        ...

    def examine(self, config: Config, ready: Preflight) -> None:
        """See that they would give the numbers that this process gives.

        Raises:
            InputError: none would.
        """
        ...

    def number(self, config: Config, ready: Preflight, waiting: int) -> int:
        """How many run so many trials or folds; 0: they run in this process."""
        ...

    def where(self, number: int, ready: Preflight) -> str:
        """For the line that says what is about to run."""
        ...

    def can_fuse(self, config: Config) -> bool:
        """Whether what a timing in this process says of fusing holds for them."""
        ...

    def executor(self, waiting: int, folder: Path, config: Config, ready: Preflight) -> Executor:
        """Start as many as there are for so many trials or folds.

        Args:
            folder: where they log what they print while they run no trial.
        """
        ...


@dataclass(frozen=True)
class LocalWorkers:
    """Processes of this machine.

    Args:
        jobs: their number; 0: this process alone; None: as many as it has room for.
    """

    jobs: int | None = None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """See `Workers`."""
        from cnnsearch.executors import processes

        if self.jobs != 0:
            processes.prepare()
        yield

    def examine(self, config: Config, ready: Preflight) -> None:
        """See `Workers`."""

    def number(self, config: Config, ready: Preflight, waiting: int) -> int:
        """See `Workers`."""
        from cnnsearch.preflight import default_jobs

        most = default_jobs(ready.device, config.threads) if self.jobs is None else self.jobs
        return min(most, waiting)

    def where(self, number: int, ready: Preflight) -> str:
        """See `Workers`."""
        if number == 0:
            return f"in this process on {ready.device}"
        return f"{counted(number, 'worker')} on {ready.device}"

    def can_fuse(self, config: Config) -> bool:
        """See `Workers`."""
        return True

    def executor(self, waiting: int, folder: Path, config: Config, ready: Preflight) -> Executor:
        """See `Workers`."""
        from cnnsearch.executors.inline import InlineExecutor
        from cnnsearch.executors.local import LocalExecutor

        number = self.number(config, ready, waiting)
        return InlineExecutor() if number == 0 else LocalExecutor(number, folder)


@dataclass
class RayWorkers:
    """Actors of a Ray cluster.

    Args:
        jobs: at most so many; None: as many as there is room for.
        address: HOST:PORT; None: Ray is started on this machine.
        cpus: of a node, for a trial; `gpus` likewise.
    """

    jobs: int | None
    address: str | None
    cpus: float
    gpus: float

    def __post_init__(self) -> None:
        self._cluster: Cluster | None = None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """See `Workers`."""
        from cnnsearch.executors.cluster import Cluster, Share

        self._cluster = Cluster(self.address, Share(self.cpus, self.gpus))
        told = self._cluster.warning()
        if told:
            say(told)
        try:
            yield
        finally:
            self._cluster.close()

    @property
    def cluster(self) -> Cluster:
        """The one that is connected to."""
        assert self._cluster is not None, "ask within `begun`"
        return self._cluster

    def examine(self, config: Config, ready: Preflight) -> None:
        """See `Workers`."""
        for line in self.cluster.examine(_needs(config, ready)):
            say(line)

    def number(self, config: Config, ready: Preflight, waiting: int) -> int:
        """See `Workers`."""
        return min(self.cluster.room if self.jobs is None else self.jobs, waiting)

    def where(self, number: int, ready: Preflight) -> str:
        """See `Workers`."""
        return f"{counted(number, 'worker')} on {counted(self.cluster.nodes, 'node')} of Ray"

    def can_fuse(self, config: Config) -> bool:
        """See `Workers`. A GPU of this machine is none of theirs."""
        return config.fuse != "auto"

    def executor(self, waiting: int, folder: Path, config: Config, ready: Preflight) -> Executor:
        """See `Workers`."""
        from cnnsearch.executors.ray import RayExecutor

        # Nodes may join later: what there is room for is looked at again and again.
        most = waiting if self.jobs is None else min(self.jobs, waiting)
        return RayExecutor(self.cluster, most, _needs(config, ready))


def _needs(config: Config, ready: Preflight) -> Needs:
    """What the nodes of a cluster are compared by."""
    from cnnsearch.executors.remote import Needs

    files = digests(config.own_names())
    return Needs(config.plain(), str(Path.cwd()), ready.images.fingerprint, files)
