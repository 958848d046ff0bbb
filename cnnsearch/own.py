"""What a config names in a file of the user's own: `path/to/net.py:MyNet`.

Only files that a config names are executed, when a network or a data set of it is made: by `run`,
`check`, `train`, `rerun`, `test`, `layers`, `export --model`; reading a study executes nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from cnnsearch.errors import InputError, in_one_line

PATTERN = r"[^\x00-\x1f]+\.py:[A-Za-z_][A-Za-z0-9_]*"
_modules: dict[tuple[Path, str], ModuleType] = {}


def is_own(name: str) -> bool:
    """Whether a name is of a file: `FILE.py:NAME`."""
    return re.fullmatch(PATTERN, name) is not None


def file_of(name: str) -> str:
    """The file of such a name, as it was written."""
    return name.rpartition(":")[0]


def resolve(target: str) -> Any:
    """The object of an import path ("torch.nn:ReLU"), or of a file of the user's own.

    Raises:
        InputError: the file cannot be read or executed, or does not define it.
    """
    return _load(target) if is_own(target) else pkgutil.resolve_name(target)


def digests(names: Iterable[str]) -> dict[str, str]:
    """What the files of some names hold: SHA-256 by file as it was written, 12 hex digits.

    Raises:
        InputError: a file cannot be read.
    """
    return {file_of(name): _digest(_content(name)) for name in names if is_own(name)}


def check_unchanged(names: Iterable[str], expected: Mapping[str, str]) -> None:
    """Refuse files that hold something else than they did.

    Args:
        expected: see `digests`; what it does not hold is not known.

    Raises:
        InputError: one does, or cannot be read.
    """
    for file, digest in digests(names).items():
        if expected.get(file, digest) != digest:
            raise InputError(f"{file}: is another than when the study began. Bring it back.")


def whole(name: str) -> str:
    """The name with its file's path in full."""
    if not is_own(name):
        return name
    file, _, wanted = name.rpartition(":")
    return f"{_path(file)}:{wanted}"


def _load(name: str) -> Any:
    file, _, wanted = name.rpartition(":")
    content = _content(name)
    place = (_path(file), _digest(content))
    if place not in _modules:
        _modules[place] = _executed(name, *place, content)
    found = getattr(_modules[place], wanted, None)
    if found is None:
        defined = [key for key in vars(_modules[place]) if not key.startswith("_")]
        raise InputError(f"{name}: the file defines no {wanted}. It has {', '.join(defined)}.")
    return found


def _executed(name: str, path: Path, digest: str, content: bytes) -> ModuleType:
    title = f"{path.stem}_{digest}"
    spec = importlib.util.spec_from_loader(title, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that nothing is hidden by a file beside it
    sys.modules[title] = module
    try:
        exec(compile(content, str(path), "exec"), vars(module))  # noqa: S102, the user named it
    except Exception as error:
        del sys.modules[title]
        raise InputError(f"{name}: {_told(path, error)}") from error
    return module


def _told(path: Path, error: Exception) -> str:
    """Where in the file it went wrong, and what."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    what = in_one_line(error)
    return f"line {line}: {what}" if line else what


def _content(name: str) -> bytes:
    path = _path(file_of(name))
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{name}: {path}: {error.strerror}. A path is taken from the folder of the command."
        ) from error


def _path(file: str) -> Path:
    return Path(file).expanduser().resolve()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
