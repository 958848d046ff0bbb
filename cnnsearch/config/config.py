"""The resolved config: every value is there and was checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from cnnsearch import own
from cnnsearch.config.sections import (
    Abort,
    Checkpoint,
    Data,
    Model,
    Search,
    Section,
    Train,
)
from cnnsearch.config.stages_section import Stage
from cnnsearch.records import Params
from cnnsearch.space import Choice, Space

AnySection = TypeVar("AnySection", bound=Section)


@dataclass(frozen=True)
class Config:
    """A search, or (without `search` and `space`) a single run.

    Args:
        study: the study's name.
        seed: of a search: its points and, by them, its trials; of a single run: the trial's own.
        device: auto, cpu, cuda, cuda:N or mps.
        threads: CPU threads of one trial.
        diagnose: measure each layer, for a verdict on the trial.
        fuse: how many trials are trained as one batched network: "auto", False or a number.
        stages: of a chain of searches; the rest is then the first stage, but for its name.
        checkpoint: what a search keeps of its trials on the disk; of no effect elsewhere.
    """

    study: str
    seed: int
    device: str
    threads: int
    data: Data
    model: Model
    train: Train
    abort: Abort
    search: Search | None = None
    space: Space | None = None
    diagnose: bool = True
    fuse: Literal["auto"] | bool | int = "auto"
    stages: tuple[Stage, ...] = ()
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    def with_whole_paths(self) -> Config:
        """A single run with the paths of its data and of the user's own files in full."""
        data: dict[str, Any] = {"name": own.whole(self.data.name)}
        if self.data.root is not None:
            data["root"] = str(Path(self.data.root).expanduser().resolve())
        fields = ("activation", "init", "module")
        model = {f: own.whole(name) for f in fields if (name := getattr(self.model, f)) is not None}
        return replace(
            self,
            data=self.data.model_copy(update=data),
            model=self.model.model_copy(update=model),
        )

    def own_names(self) -> list[str]:
        """The names FILE.py:NAME in it, those that it searches included."""
        found = [self.data.name, self.model.activation, self.model.init, self.model.module]
        for field_name in ("activation", "init", "module"):
            parameter = (self.space or {}).get(field_name)
            choices = parameter.choices if isinstance(parameter, Choice) else ()
            found += [name for name in choices if isinstance(name, str)]
        return sorted({name for name in found if isinstance(name, str) and own.is_own(name)})

    def at(self, params: Params, seed: int) -> Config:
        """The single run of a point: `params` set, the trial's seed, no search and no space."""
        return replace(
            self,
            seed=seed,
            data=_updated(self.data, params),
            model=_updated(self.model, params),
            train=_updated(self.train, params),
            search=None,
            space=None,
            fuse="auto",
            stages=(),
            checkpoint=Checkpoint(),
        )

    def plain(self) -> dict[str, Any]:
        """As plain data, in the order of the file; what `from_plain` reads."""
        from cnnsearch.config.plain import to_plain

        return to_plain(self)


def _updated(section: AnySection, params: Params) -> AnySection:
    fields = type(section).model_fields
    return section.model_copy(update={k: v for k, v in params.items() if k in fields})
