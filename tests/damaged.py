"""Databases of studies as disks, copies and other programs leave them, and what verbs do with them.

A whole database is damaged in one of `KINDS`, each with a generator of its own that draws the
places. A verb that meets one answers as ever, or ends with one line and a code of `REFUSED`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from cnnsearch import cli
from tests.builders import write_digits

REFUSED = (1, 2, 4)
SEARCH = {
    "model": "model: {conv: [4], hidden: [8]}",
    "train": "train: {epochs: 1, batch_size: 32}",
    "search": "search: {sampler: random, trials: 3}",
}
# What a `run` says before it looks at the storage.
_TALK = re.compile(r".* looking at the images and the networks \.\.\.")


def whole(folder: Path) -> Path:
    """A database whose search has run, with digits.yaml beside it, which continues it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_digits(folder, **SEARCH)
    with _Within(folder), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert cli.run(["run", "digits.yaml", "-j", "0"]) == 0
        for words in (["tag", "digits", "0", "--add", "keep"], ["note", "digits", "0", "a note"]):
            assert cli.run(words) == 0
    return folder / "cnnsearch.db"


def _cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    pages = [*range(512, len(content), 4096), *range(0, len(content), 4096)]
    path.write_bytes(content[: draw.choice([draw.randrange(1, len(content)), draw.choice(pages)])])


def _flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 4, 64])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _flip_header(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(100)] = draw.randrange(256)
    path.write_bytes(content)


def _flip_text(path: Path, draw: random.Random) -> None:
    """A bit of what is stored as JSON, so that SQLite sees nothing."""
    content = bytearray(path.read_bytes())
    places = [m.start() + draw.randrange(30) for m in re.finditer(rb'\{"', content)]
    for place in draw.sample(places, min(len(places), draw.choice([1, 3]))):
        content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _blank_page(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = 4096 * draw.randrange(len(content) // 4096)
    content[start : start + 4096] = draw.choice([bytes(4096), draw.randbytes(4096), b"\xff" * 4096])
    path.write_bytes(content)


def _swap_pages(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    i, k = draw.sample(range(1, len(pages)), 2)
    pages[i], pages[k] = pages[k], pages[i]
    path.write_bytes(b"".join(pages))


def _tail(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.choice([1, 4096])))


def _sql(*statements: str) -> Callable[[Path, random.Random], None]:
    def change(path: Path, draw: random.Random) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute(draw.choice(statements))

    return change


_VALUES = ("", "{", "null", "[]", "{}", "1", "-1", '"x"', "1e999", "NaN", "true", '[{"a": 1}]')


def _json(table: str) -> Callable[[Path, random.Random], None]:
    """One attribute, or one of the things in it, is something else."""

    def change(path: Path, draw: random.Random) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            rows = connection.execute(f"SELECT rowid, value_json FROM {table}").fetchall()
            row, text = draw.choice(rows)
            found = json.loads(text)
            if isinstance(found, dict) and found and draw.random() < 0.7:
                key = draw.choice(sorted(found))
                if draw.random() < 0.3:
                    del found[key]
                else:
                    found[key] = draw.choice([None, [], {}, "x", -1, 1e300, True, [None]])
                value = json.dumps(found)
            else:
                value = draw.choice(_VALUES)
            connection.execute(f"UPDATE {table} SET value_json = ? WHERE rowid = ?", (value, row))

    return change


def _no_sqlite(path: Path, draw: random.Random) -> None:
    contents = (b"study: digits\n", b"PK\x03\x04" + bytes(99), draw.randbytes(9000), b"\0" * 8192)
    path.write_bytes(draw.choice([*contents, b"SQLite format 3\0", b"\n"]))


def _empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def _folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()
    if draw.random() < 0.5:
        (path / "cnnsearch.db").write_bytes(b"")


def _link_to_nothing(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(draw.choice(["gone.db", path.name, "no/folder/gone.db"]))


def _hot_journal(path: Path, draw: random.Random) -> None:
    """The journal of a writer that died in the middle, and what it had written by then."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE trial_user_attributes SET value_json = value_json || ' '")
        connection.execute("UPDATE studies SET study_name = 'half'")
        connection.execute("CREATE TABLE filler AS SELECT hex(zeroblob(90000)) AS a")
        journal = path.with_name(f"{path.name}-journal")
        copies = [(one, one.read_bytes()) for one in (path, journal)]
        connection.execute("ROLLBACK")
    for one, content in copies:
        one.write_bytes(content)


def _broken_journal(path: Path, draw: random.Random) -> None:
    _hot_journal(path, draw)
    journal = path.with_name(f"{path.name}-journal")
    content = bytearray(journal.read_bytes())
    for _ in range(20):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    journal.write_bytes(content[: draw.choice([len(content), draw.randrange(1, len(content))])])


KINDS: Mapping[str, Callable[[Path, random.Random], None]] = {
    "cut": _cut,
    "bits": _flip,
    "header": _flip_header,
    "text": _flip_text,
    "page": _blank_page,
    "pages swapped": _swap_pages,
    "tail": _tail,
    "no SQLite": _no_sqlite,
    "empty": _empty,
    "folder": _folder,
    "dead link": _link_to_nothing,
    "hot journal": _hot_journal,
    "broken journal": _broken_journal,
    "newer version": _sql(
        "UPDATE alembic_version SET version_num = 'v9.9.9.a'",
        "UPDATE version_info SET schema_version = 99, library_version = '9.9.9'",
        "UPDATE alembic_version SET version_num = 'x'",
    ),
    "no version": _sql(
        "DELETE FROM alembic_version",
        "DELETE FROM version_info",
        "DROP TABLE alembic_version",
        "DROP TABLE version_info",
    ),
    "older version": _sql(
        "UPDATE alembic_version SET version_num = 'v2.6.0.a'",
        "UPDATE version_info SET schema_version = 1",
    ),
    "tables": _sql(
        *(f"DROP TABLE {name}" for name in ("studies", "trials", "study_user_attributes")),
        *(f"DROP TABLE {name}" for name in ("trial_user_attributes", "trial_values")),
        *(f"ALTER TABLE trials RENAME COLUMN {name} TO other" for name in ("number", "state")),
        "ALTER TABLE studies RENAME COLUMN study_name TO other",
        "DELETE FROM trial_user_attributes",
        "DELETE FROM study_user_attributes",
        "DELETE FROM study_directions",
        "DELETE FROM studies",
        "DELETE FROM trials",
    ),
    "values": _sql(
        *(f"UPDATE trials SET number = {value}" for value in ("NULL", "'x'", "-1", "1e300", "7")),
        *(f"UPDATE trials SET state = {value}" for value in ("'x'", "7", "x'ff00'")),
        *(f"UPDATE trial_values SET value = {value}" for value in ("NULL", "'x'", "9e999")),
        *(
            f"UPDATE trial_user_attributes SET key = {value}"
            for value in ("NULL", "x'ff'", "'x' || rowid")
        ),
        *(f"UPDATE studies SET study_name = {value}" for value in ("x'ff'", "3", "'a b'")),
        "UPDATE trial_values SET value_type = 'x'",
        "UPDATE trials SET study_id = 9",
        "UPDATE trial_user_attributes SET value_json = x'ff00'",
        "UPDATE study_user_attributes SET value_json = cast(x'22ff22' as text)",
    ),
    "study attributes": _json("study_user_attributes"),
    "trial attributes": _json("trial_user_attributes"),
}
VERBS = (
    ("list",),
    ("list", "digits"),
    ("show", "digits", "1"),
    ("run", "digits.yaml", "-j", "0", "--storage-patience", "1s"),
)


@dataclass(frozen=True)
class Answer:
    """What a verb did with a damaged database.

    Args:
        fault: what is wrong with that; empty where nothing is.
    """

    verb: str
    code: int
    line: str
    seconds: float
    fault: str


def damage(good: Path, folder: Path, kind: str, number: int) -> Path:
    """A copy of the database and its config in a new folder, damaged."""
    shutil.copytree(good.parent, folder, ignore=shutil.ignore_patterns("*.lock"))
    KINDS[kind](folder / good.name, random.Random(f"{kind} {number}"))
    return folder / good.name


def answers(path: Path) -> Iterator[Answer]:
    """Each verb on a damaged database, which it must leave as it is where it refuses it."""
    for words in VERBS:
        before, begun = _digest(path), time.perf_counter()
        names = {one.name for one in path.parent.iterdir()}
        out, err = io.StringIO(), io.StringIO()
        with _Within(path.parent), redirect_stdout(out), redirect_stderr(err):
            try:
                code = cli.run(words)
            except Exception as error:
                code, told = -1, f"{type(error).__name__}: {error}".splitlines()[0]
                cause = error.__traceback__
                while cause is not None and cause.tb_next is not None:
                    cause = cause.tb_next
                if cause is not None:
                    told += f" ({Path(cause.tb_frame.f_code.co_filename).name}:{cause.tb_lineno})"
            else:
                lines = [line for line in err.getvalue().splitlines() if not _TALK.match(line)]
                told = lines[-1] if lines else ""
        fault = ""
        if code < 0:
            fault = f"an exception: {told}"
        elif code:
            # A journal that lies there is rolled back by whoever opens the file, broken or not.
            journal = path.with_name(f"{path.name}-journal").name in names
            changed = not journal and _digest(path) != before
            fault = _fault(code, out.getvalue(), lines, changed)
        yield Answer(" ".join(words[:2]), code, told, time.perf_counter() - begun, fault)


def _fault(code: int, out: str, lines: list[str], changed: bool) -> str:
    if code not in REFUSED:
        return f"exit code {code}"
    told = [line for line in lines if not line.startswith("digits: ")]  # what `run` says before
    of_config = told and all("config" in line.partition(": ")[0] for line in told)
    if len(told) != 1 and not of_config:
        return f"{len(told)} lines: {told}"
    if not re.match("--storage: |(no )?study |the (study's )?config|trial '1': study", told[0]):
        return f"names neither storage nor study: {told[0]}"
    if out:
        return f"wrote {out[:60]!r} before it was refused"
    return "the file was changed" if changed else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"


class _Within:
    """The working folder, and the storage in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before, self._storage = Path.cwd(), os.environ.pop("CNNSEARCH_STORAGE", None)
        os.chdir(self._folder)

    def __exit__(self, *_: object) -> None:
        os.chdir(self._before)
        if self._storage is not None:
            os.environ["CNNSEARCH_STORAGE"] = self._storage
