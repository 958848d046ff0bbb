"""A config as YAML that `load` reads back to the same config, to the last bit."""

from __future__ import annotations

import re
from typing import Any

from cnnsearch.config.config import Config
from cnnsearch.config.document import scalar
from cnnsearch.config.fields import SECTIONS
from cnnsearch.config.mistakes import inline

# Texts that need no quotes, provided they do not read as a number or a switch.
_BARE = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~+-]*(:[A-Za-z0-9_./~+-]+)*")


def to_yaml(config: Config, comment: str | None = None) -> str:
    """The config as a file: block style, lists and parameters each on one line.

    Args:
        comment: what stands above, without its "#".
    """
    lines = [f"# {_printable(line)}".rstrip() for line in (comment or "").splitlines()]
    for name, value in config.plain().items():
        if not isinstance(value, dict):
            lines.append(f"{name}: {flow(value)}")
            continue
        lines.append(f"{name}:")
        for field, written in value.items():
            if written is not None or not _unset(name, field):
                lines.append(f"  {field}: {flow(written)}")
    return "\n".join(lines) + "\n"


def flow(value: Any) -> str:
    """A value on one line, in YAML's flow style, which reads back as it was."""
    return inline(value, _text)


def _unset(section: str, field: str) -> bool:
    """Whether null is what the field is without its line, which then says nothing."""
    return section in SECTIONS and SECTIONS[section].model_fields[field].default is None


def _text(text: str) -> str:
    if _BARE.fullmatch(text) and isinstance(scalar(text), str):
        return text
    return '"' + _printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _printable(text: str) -> str:
    """Unprintable characters as YAML's escapes."""
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    if code > 0xFFFF:
        return f"\\U{code:08X}"
    return f"\\u{code:04X}" if code > 0xFF else f"\\x{code:02X}"
