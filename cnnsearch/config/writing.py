"""A config as YAML that `load` reads back to the same config, to the last bit."""

from __future__ import annotations

import re
from typing import Any

from cnnsearch.config.config import Config
from cnnsearch.config.document import scalar
from cnnsearch.config.fields import SECTIONS
from cnnsearch.config.mistakes import inline

# Texts that need no quotes, provided they do not read as a number or a switch.
_BARE = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~+%-]*(:[A-Za-z0-9_./~+-]+)*")


def to_yaml(config: Config, comment: str | None = None) -> str:
    """The config as a file: block style, lists and parameters each on one line.

    Args:
        comment: what stands above, without its "#".
    """
    lines = [f"# {_printable(line)}".rstrip() for line in (comment or "").splitlines()]
    for name, value in config.plain().items():
        if name == "stages":
            lines += [f"{name}:", *(f"  - {flow(stage)}" for stage in value)]
        elif not isinstance(value, dict):
            lines.append(f"{name}: {flow(value)}")
        else:
            lines.append(f"{name}:")
            lines += [
                f"  {field}: {flow(written)}"
                for field, written in value.items()
                if not _says_nothing(config, name, field, written)
            ]
    return "\n".join(lines) + "\n"


def flow(value: Any) -> str:
    """A value on one line, in YAML's flow style, which reads back as it was."""
    return inline(value, _text)


def _says_nothing(config: Config, section: str, field: str, value: Any) -> bool:
    """Whether the field is the same without its line: null, or overridden by `space` anyway."""
    if section not in SECTIONS or value != SECTIONS[section].model_fields[field].default:
        return False
    searched = (config.space or {}).get(field)
    return value is None or (searched is not None and not searched.when)


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
