"""Whether a config goes on with a study that is stored, or is another search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnsearch.config import Config, differences, from_plain
from cnnsearch.errors import InputError
from cnnsearch.own import digests
from cnnsearch.study import attributes, read
from cnnsearch.study.kinds import check_kind


def check_resume(
    storage: str,
    config: Config,
    fingerprint: str | None = None,
    repeats: Mapping[str, Any] | None = None,
) -> None:
    """Refuse a config that does not go on with the stored study.

    Args:
        fingerprint: of the data; None leaves the data out.
        repeats: see `Study.claim`.

    Raises:
        InputError: with the differences.
    """
    attrs = read.study_attributes(storage, config.study)
    if attrs is None:
        return
    other = "To start another study, give it a name: --name NAME."
    check_kind(config.study, attrs.get(attributes.RERUN), repeats, other)
    changed = differences(from_plain(attrs[attributes.CONFIG]), config)
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        raise InputError(f"study {config.study} was started with other values:\n{lines}\n{other}")
    files = digests(config.own_names())
    for name, digest in attrs.get(attributes.OWN_FILES, {}).items():
        if files.get(name, digest) != digest:
            raise InputError(f"study {config.study} was started with another {name}. {other}")
    stored = attrs.get(attributes.FINGERPRINT)
    if None not in (fingerprint, stored) and stored != fingerprint:
        raise InputError(
            f"study {config.study} was started with other images than data.root holds now. {other}"
        )
