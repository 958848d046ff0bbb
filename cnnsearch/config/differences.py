"""What two configs of one study differ in, where a search cannot go on over the difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.config.fields import SECTIONS, identity
from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.config.writing import flow
from cnnsearch.space import Parameter

# More points, more patience, another place of the same images, a look at the layers, checkpoints:
# the numbers stay the same. Fused, they do but for rounding, as on another device or with more
# threads; each trial keeps how it was trained.
_FREE = {
    "study",
    "fuse",
    "search.trials",
    "search.retries",
    "search.timeout",
    "data.root",
    "diagnose",
    "checkpoint.every",
    "checkpoint.keep",
}


def differences(old: Config, new: Config) -> list[str]:
    """Lines "- train.batch_size: 128", "+ train.batch_size: 64"; none where a search can go on.

    A grid may gain values. A fixed value that `space` overrides in every trial does not count.
    """
    before, after = _flat(old), _flat(new)
    lines = []
    for path in dict.fromkeys([*before, *after]):
        if before.get(path) != after.get(path):
            lines += [f"- {path}: {before[path]}"] if path in before else []
            lines += [f"+ {path}: {after[path]}"] if path in after else []
    return lines + _space_lines(old, new)


def _flat(config: Config) -> dict[str, str]:
    """Each field that counts, by its path, as YAML writes it."""
    always = {name for name, parameter in (config.space or {}).items() if not parameter.when}
    flat: dict[str, str] = {}
    for name, value in config.plain().items():
        if name in ("space", "stages"):  # each stage is a study of its own
            continue
        fields: Mapping[str, Any] = value if name in SECTIONS else {"": value}
        for field, written in fields.items():
            path = f"{name}.{field}" if field else name
            if path not in _FREE and field not in always:
                flat[path] = flow(written)
    return flat


def _space_lines(old: Config, new: Config) -> list[str]:
    before, after = old.space or {}, new.space or {}
    grows = all(c.search and catalog.SAMPLERS[c.search.sampler].finite for c in (old, new))
    lines = []
    for name in dict.fromkeys([*before, *after]):
        both = name in before and name in after
        if both and _same(name, before[name], after[name], grows):
            continue
        for sign, space in (("-", before), ("+", after)):
            if name in space:
                lines.append(f"{sign} space.{name}: {flow(parameter_to_plain(space[name]))}")
    return lines


def _same(name: str, old: Parameter, new: Parameter, grows: bool) -> bool:
    if not grows:
        return old == new
    values = {identity(name, value) for value in new.grid()}
    gained = all(identity(name, value) in values for value in old.grid())
    return gained and old.when == new.when
