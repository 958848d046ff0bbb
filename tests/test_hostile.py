"""Input that means harm: texts that steer terminals and spreadsheets, archives, pickles."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import pickle
import re
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import cnnsearch
from cnnsearch import catalog, cli
from cnnsearch.config.sections import Data
from cnnsearch.data import fetch, load
from cnnsearch.errors import DataError
from cnnsearch.records import Outcome, State
from cnnsearch.render.table import Column, Table, csv_text, markdown_text
from cnnsearch.render.text import plain_markdown
from tests.archives import Site, served
from tests.studies import Told, complete, point, write_study
from tests.terminals import on_terminal
from tests.verbs import Found

TEXTS = {
    "colour": "\x1b[31mred\x1b[0m",
    "clipboard": "a\x1b]52;c;ZXZpbA==\x07b",
    "title without an end": "a\x1b]0;owned",
    "eight bits": "a\x9b2Jb\x9d0;t\x9cc\x90q\x9c",
    "bidi": "\u202egnp.exe\u2066x\u200f",
    "markup": "[/] [red]x[/red] [link=http://e]y[/link] [@click=bell]z",
    "newlines": "one\ntwo\r\nthree\rfour\u2028five\x0bsix\x85seven",
    "long": "x" * 50_000,
    "surrogate": "\udcffa\udc80",
    "nothing": "\0\x08\x7f",
    "formula": "=HYPERLINK(A1)",
    "formula behind a space": "\t =1+1",
    "markdown": "a|b\\|c `d` <img src=x> ![e](http://f)",
    "percent and braces": "%s %(x)s {0} {x!r} $(id)",
}
STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
VERBS = (
    "list",
    "list STUDY",
    "list STUDY --cols all --md",
    "list STUDY --csv",
    "list STUDY --json",
    "list STUDY --where note!=''",
    "list none",
    "show STUDY 0",
    "show STUDY 1",
    "show STUDY 1 --json",
    "compare STUDY 0 1",
    "compare STUDY --by init",
    "diff STUDY/0 STUDY/1",
    "diagnose STUDY",
    "export STUDY 0",
    "export STUDY --csv",
    "export STUDY --curves",
    "note STUDY 0",
    "hide STUDY 1",
    "rm none",
)


def steering(text: str, verb: str) -> str:
    """What of an output steers a terminal; a text from stdout may hold line ends."""
    return "".join(STEERS.findall(text)) or "".join(
        line for line in text.splitlines() if verb.endswith("--json") and not line.isascii()
    )


def hostile_study(path: Path, text: str) -> None:
    """The study digits; all that a user or another program can have written in it is `text`."""
    facts = {"traceback": f"Traceback\n{text}", "where": text, "message": text}
    told = (
        complete(0.9, point(0.01)),
        Told(point(0.1), Outcome(State.FAILED, f"ValueError: {text}", facts)),
    )
    write_study(path, "digits", told)
    mark = {"tags": [text, "x"], "note": text}
    with closing(sqlite3.connect(path)) as connection, connection:
        begun = "SELECT value_json FROM trial_user_attributes WHERE key = 'begun' AND trial_id = 1"
        ((stored,),) = connection.execute(begun)
        stored = json.dumps(json.loads(stored) | {"params": {**point(0.01), "init": text}})
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'begun' AND trial_id = 1",
            (stored,),
        )
        connection.execute(
            "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, 'marks', ?)",
            (json.dumps({"0": mark, "1": mark}),),
        )


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(storage: Path, *words: str) -> Found:
        monkeypatch.setenv("CNNSEARCH_STORAGE", str(storage))
        code = cli.run(words)
        told = capfd.readouterr()
        return Found(code, told.out, told.err)

    return run


@each_text
def test_no_verb_passes_on_what_steers_a_terminal(text: str, call: Any, tmp_path: Path) -> None:
    storage = tmp_path / "studies.db"
    hostile_study(storage, text)
    for verb in VERBS:
        found = call(storage, *verb.replace("STUDY", "digits").split())
        assert found.code in (0, 2), (verb, found.err)
        assert not steering(found.out, verb), verb
        assert not STEERS.search(found.err), verb
        if found.code == 2:
            assert len(found.err.splitlines()) == 1, (verb, found.err)


@pytest.mark.parametrize("verb", ["list digits --cols all", "show digits 1", "note digits 1"])
def test_on_a_terminal_markup_is_text(verb: str, tmp_path: Path) -> None:
    text = TEXTS["markup"] + TEXTS["clipboard"] + TEXTS["bidi"]
    hostile_study(tmp_path / "a.db", text)
    storage = str(tmp_path / "a.db")
    words = ["-m", "cnnsearch", *verb.split()]
    shown = on_terminal(words, 300, CNNSEARCH_STORAGE=storage)
    assert "[link=http://e]y[/link]" in shown
    assert "\x1b]" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("name", [*TEXTS.values(), "../up", "a/b", "", ".", "-x", "x" * 65])
def test_a_study_with_a_name_that_is_none_of_ours_is_not_looked_at(
    name: str, call: Any, tmp_path: Path
) -> None:
    storage = tmp_path / "studies.db"
    write_study(storage)
    write_study(storage, "other", (complete(0.5, point(0.1)),))
    with closing(sqlite3.connect(storage)) as connection, connection:
        name = name.encode("utf-8", "replace").decode()
        connection.execute("UPDATE studies SET study_name = ? WHERE study_id = 1", (name,))
        connection.execute("UPDATE trials SET state = 'RUNNING' WHERE trial_id = 1")
    assert [row[0] for row in call(storage, "list").rows] == ["study", "other"]
    found = call(storage, "show", "--", name, "0")
    assert found.code == 2
    assert len(found.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {
        "studies.db", "studies.db.lock", "studies.db-digits.lock", "studies.db-other.lock"
    }  # fmt: skip


@each_text
def test_words_of_the_command_line_are_told_back_cleaned(
    text: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = tmp_path / "studies.db"
    write_study(storage)
    rows: list[list[str]] = [
        [text], ["list", text], ["show", "digits", text], ["tag", "digits", "1", "--add", text],
        ["list", "digits", "--where", text], ["list", "digits", "--cols", text],
        ["run", text], ["train", text], ["check", "none.yaml", "-S", text],
        ["list", "--storage", f"postgresql://{text}"], ["export", "digits", "1", "-o", text + "/x"],
        ["list", "--storage", f"{text}/x.db"], ["note", "digits", "1", "-x" + text],
    ]  # fmt: skip
    for words in rows:
        if "\0" in text and ("storage" in str(words) or words[0] == "export"):
            continue  # no word of a command line can hold it
        found = call(storage, *words)
        assert not STEERS.search(found.out + found.err), words
        assert found.code == 2 or words[0] == "list", words


@pytest.mark.parametrize("name", ["a\udcff.db", "a #?%41.db", "\x1b[2J.db", "-x.db"])
def test_a_storage_may_have_any_name_that_a_file_can_have(
    name: str, call: Any, tmp_path: Path
) -> None:
    write_study(tmp_path / name)
    assert call(tmp_path / name, "show", "digits", "0").code == 0
    found = call(tmp_path / name, "show", "none", "0")
    assert found.code == 2
    assert not STEERS.search(found.err)


CELLS = {
    "=1+1": "'=1+1",
    "+1+1": "'+1+1",
    "-1+1": "'-1+1",
    "@SUM(1)": "'@SUM(1)",
    "\t=1": "'=1",
    "\r=1": "'=1",
    "\n\n =1": "'=1",
    "\x1b[0m=1": "'=1",
    "\u202e=1": "'=1",
    "＝1+1": "'＝1+1",
    "＠x": "'＠x",
    "=": "'=",
    "-": "'-",
    "-2+3": "'-2+3",
    "a\t=1": "a =1",
    "a=1": "a=1",
    "'=1": "'=1",
}


@pytest.mark.parametrize(("text", "cell"), CELLS.items())
def test_no_cell_of_a_csv_is_a_formula(text: str, cell: str) -> None:
    table = Table((Column(text), Column("tags", export=str)), [[text, text]])
    assert list(csv.reader(io.StringIO(csv_text(table)))) == [[cell, "tags"], [cell, cell]]


@pytest.mark.parametrize("value", [-1, -0.5, -1e-300, 1e300, -(2**63), 0.1, -0.0])
def test_numbers_of_a_csv_are_left_alone(value: float) -> None:
    ((_,), (cell,)) = csv.reader(io.StringIO(csv_text(Table((Column("n"),), [[value]]))))
    assert repr(type(value)(cell)) == repr(value)


def test_every_csv_of_a_hostile_study_is_harmless(call: Any, tmp_path: Path) -> None:
    storage = tmp_path / "studies.db"
    hostile_study(storage, "=cmd|' /C calc'!A1")
    for words in (["list", "digits", "--csv"], ["export", "digits", "--csv"]):
        rows = list(csv.reader(io.StringIO(call(storage, *words).out)))
        cells = [cell for row in rows for cell in row if "cmd" in cell]
        assert cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_a_cell_of_markdown_stays_a_cell() -> None:
    text = TEXTS["markdown"]
    (head, _, row) = markdown_text(Table((Column(text),), [[text]])).splitlines()
    for line in (head, row):
        # GitHub's parser takes a backslash and the sign behind it together.
        assert len(re.findall(r"(?:\\.|[^|\\])+", line.strip("|"))) == 1
        assert not re.search(r"(?<!\\)(?:\\\\)*[`<]|\]\(", line)
    assert plain_markdown("[32, 64] (x) a_b *c*") == "[32, 64] (x) a_b *c*"


Make = Callable[[tarfile.TarFile], None]


def member(name: str, body: bytes = b"x", **fields: Any) -> Make:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(body)
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(body))

    return add


def link(name: str, target: str, kind: bytes) -> Make:
    return member(name, b"", type=kind, linkname=target)


def through_a_link(tar: tarfile.TarFile) -> None:
    link("data/out", "..", tarfile.SYMTYPE)(tar)
    member("data/out/out/evil")(tar)


def bomb(tar: tarfile.TarFile) -> None:
    member("data/zeros", bytes(3 << 20))(tar)


def header_bomb(tar: tarfile.TarFile) -> None:
    # Such a header is read into memory whole.
    member("data/h", bytes(3 << 20), type=tarfile.XHDTYPE)(tar)


def header_chain(tar: tarfile.TarFile) -> None:
    for _ in range(3000):
        member("h", b"11 path=ab\n", type=tarfile.XHDTYPE)(tar)


TARS: dict[str, Make] = {
    "parent": member("../evil"),
    "parent within": member("data/../../evil"),
    "absolute": member("/tmp/cnnsearch-evil"),
    "symlink out": link("data/x", "../../evil", tarfile.SYMTYPE),
    "symlink to a file": link("data/x", "/etc/passwd", tarfile.SYMTYPE),
    "through a symlink": through_a_link,
    "hardlink out": link("data/x", "../../secret", tarfile.LNKTYPE),
    "device": link("data/x", "", tarfile.CHRTYPE),
    "pipe": link("data/x", "", tarfile.FIFOTYPE),
    "bomb": bomb,
    "bomb in a header": header_bomb,
    "chain of headers": header_chain,
}
GOOD = (member("data/batch", b"batch"),)


def tar_of(*members: Make) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for add in members:
            add(tar)
    return buffer.getvalue()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "MAX_BYTES", 1 << 20)
    with served(tmp_path / "site") as site:
        yield site


def complete_from(site: Site, root: Path, name: str, content: bytes, md5: str | None = None) -> str:
    """Complete a data set from a served file; returns why it was refused, or nothing."""
    sum_of_it = site.put(name, content)
    folder, file = ("", name.removesuffix(".gz")) if name == "one.gz" else ("", "data/batch")
    archive = fetch.Archive((site.url + name,), name, md5 or sum_of_it, folder, ((file, None),))
    try:
        fetch.complete([archive], "evil", root, lambda _: None)
    except DataError as error:
        return str(error)
    return ""


def around(folder: Path) -> set[Path]:
    """Everything that lies beside the root."""
    return {path for path in folder.rglob("*") if "site" not in path.parts}


@pytest.mark.parametrize("make", TARS.values(), ids=TARS)
def test_hostile_archives(make: Make, site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root").mkdir()
    before = around(tmp_path)
    for members in ([make], [*GOOD, make], [make, *GOOD]):
        text = complete_from(site, tmp_path / "root", "a.tar.gz", tar_of(*members))
        assert "a.tar.gz of evil cannot be unpacked: " in text, text
        assert "\n" not in text
        assert len(text) < 400
        assert around(tmp_path) == before
        assert not Path("/tmp/cnnsearch-evil").exists()
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_good_archive_is_taken(site: Site, tmp_path: Path) -> None:
    assert complete_from(site, tmp_path / "root", "a.tar.gz", tar_of(*GOOD)) == ""
    assert (tmp_path / "root" / "data" / "batch").read_bytes() == b"batch"


FILES = {
    "bomb": ("one.gz", gzip.compress(bytes(3 << 20)), "cannot be unpacked: it holds more than 1"),
    "rubbish behind it": ("one.gz", gzip.compress(b"x") + b"rubbish", "cannot be unpacked: "),
    "cut short": ("one.gz", gzip.compress(b"x" * 1000)[:-9], "cannot be unpacked: "),
    "damaged": ("one.gz", gzip.compress(b"abc" * 99)[:-4] + b"abcd", "cannot be unpacked: "),
    "no archive": ("a.tar.gz", b"<html>not found</html>", "cannot be unpacked: "),
    "empty": ("a.tar.gz", b"", "cannot be unpacked: "),
    "a tar of zeros": ("a.tar.gz", gzip.compress(bytes(2000)), "does not hold the data/batch"),
    "larger than any data set": ("one.gz", bytes(2 << 20), "the download failed ("),
}


@pytest.mark.parametrize(("name", "content", "told"), FILES.values(), ids=FILES)
def test_hostile_files(name: str, content: bytes, told: str, site: Site, tmp_path: Path) -> None:
    text = complete_from(site, tmp_path / "root", name, content)
    assert told in text, text
    assert "\n" not in text
    assert around(tmp_path) == {tmp_path / "root"}


def test_a_wrong_checksum_is_refused_before_anything_is_unpacked(
    site: Site, tmp_path: Path
) -> None:
    text = complete_from(site, tmp_path / "root", "a.tar.gz", tar_of(*GOOD), md5="0" * 32)
    assert "instead of 00000000000000000000000000000000" in text
    assert around(tmp_path) == {tmp_path / "root"}


class Mark:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.path,)


BATCHES = {
    "cifar10": "cifar-10-batches-py/data_batch_1",
    "cifar100": "cifar-100-python/train",
    "svhn": "train_32x32.mat",
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_file_that_is_no_batch_is_never_unpickled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    evil = pickle.dumps(Mark(mark))
    for path in {*catalog.DATASETS[name].files, BATCHES[name]}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(evil)
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(DataError) as error:
        load(Data(name=name, root=str(tmp_path)), lambda _: None)
    assert "\n" not in str(error.value)
    assert not mark.exists()
    pickle.loads(evil)
    assert mark.exists()  # it would have


# What runs what it reads.
FORBIDDEN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}


def risks(source: str) -> list[str]:
    """Calls and imports of a module that could run what they read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module or "")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            values = {word.arg: ast.unparse(word.value) for word in node.keywords}
            unsafe = (
                name in FORBIDDEN,
                re.fullmatch(r"yaml\.(\w+_)?load(_all)?", name) is not None,
                name == "torch.load" and values.get("weights_only") != "True",
                *(values.get(word, "False") != "False" for word in ("shell", "allow_pickle")),
            )
            found += [name] * any(unsafe)
    return found


@pytest.mark.parametrize(
    "module", sorted(Path(cnnsearch.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_nothing_runs_what_it_reads(module: Path) -> None:
    """But for the files that a config names as the user's own."""
    own = module == Path(cnnsearch.__file__).parent / "own.py"
    assert sorted(risks(module.read_text(encoding="utf-8"))) == ["compile", "exec"] * own


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from pickle import load", "import joblib.parallel", "eval('1')",
     "yaml.load(x)", "yaml.unsafe_load(x)", "yaml.full_load_all(x)", "torch.load(f)",
     "torch.load(f, weights_only=False)", "np.load(f, allow_pickle=True)",
     "subprocess.run(x, shell=True)", "os.system(x)"],
)  # fmt: skip
def test_what_is_looked_for_is_found(line: str) -> None:
    assert risks(line)
    assert not risks("torch.load(f, weights_only=True); np.load(f); re.compile(x)")
