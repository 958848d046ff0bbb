"""Config files as accidents and attackers would leave them, and what has to become of each.

A mutant begins as one of `SEEDS`. Its tree is edited (values, names, nesting, tags), it is written
out again, and its bytes are damaged; any of the steps may be left out.
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import yaml
from hypothesis import strategies as st

from cnnsearch.config import Config, from_plain, load_with_notes, to_yaml
from cnnsearch.config.fields import OWNER, SECTIONS, json_schema
from cnnsearch.config.mistakes import cleaned
from cnnsearch.errors import InputError
from cnnsearch.space import random_point

# A message repeats 60 characters of a value, and lists at most 260 of names.
_LONGEST_LINE = 700
MAX_SECONDS = 1.0

EXAMPLES = (
    "data: {name: digits}\n",
    """\
study: full.1
seed: 7
device: cuda:1
threads: 2
diagnose: false
fuse: 16
data:
  {name: image_folder, root: ~/images, limit: 100, validation: {folds: 5}, split_seed: 3,
   size: [8, 9], channels: 1, pixels: raw, preprocess: standardize, flip: true, crop: 2}
model:
  conv: [16, 32]
  kernel: 5
  stride: 2
  padding: 1
  pool: avg
  pool_size: 3
  hidden: []
  dropout: 0.5
  activation: maxout
  init: normal:1e-4
  batchnorm: true
  batchnorm_at: after
train:
  {lr: 1e-3, epochs: 30, batch_size: 64, optimizer: adamw, momentum: 0.5, nesterov: true,
   weight_decay: 0.1, schedule: step, warmup_epochs: 1, step_every: 3, step_factor: 0.5,
   precision: bf16}
abort: {loss_ratio: null, check_every: 5}
""",
    """\
data: {name: digits, validation: 30}
search: {sampler: tpe, trials: 5, timeout: 1h30m, objective: val_loss, at: last, pruner: asha,
         retries: 0}
space:
  optimizer: [sgd, adam]
  momentum: {choices: [0, 0.9], when: {optimizer: sgd}}
  lr: {low: 1e-5, high: 0.3, log: true, points: 3}
  conv: [[], [16], [16, 32]]
  hidden: {choices: [[], [64]], when: {conv: [[16], [16, 32]]}}
  dropout: {low: 0, high: 0.5, step: 0.1, when: {conv: [16]}}
  batch_size: {low: 16, high: 64}
  init: [zeros, normal:0.01]
  batchnorm: [true, false]
""",
    """\
data: {name: digits}
search: {sampler: grid}
space:
  epochs: [1, 2]
  lr: {low: 0.001, high: 1.0, log: true, points: 4}
  kernel: {low: 1, high: 5, step: 2}
  step_factor: {low: 0.1, high: 1.0, step: 0.1, when: {epochs: 2}}
""",
    """\
data: {name: digits}
search: {trials: 10}
space: {lr: {low: 1e-4, high: 1.0, log: true}, init: [he, xavier]}
stages:
  - {epochs: 2, trials: 60}
  - {epochs: 6, trials: 20, top: 20%, pad: 0.25, set: {schedule: cosine}}
  - {epochs: 12, trials: 8, top: 5, folds: 5}
""",
)
_CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
SEEDS = (*(path.read_text(encoding="utf-8") for path in _CONFIGS), *EXAMPLES)

# As they stand in the file, quotes and all.
ODD_VALUES = (
    *("", "~", "null", "true", "on", "yes", "0", "-0.0", "-1", "1", "2", "0.5", "1e-3", "1e308"),
    *("5e-324", "1e400", "-1e400", "1e-400", ".nan", ".inf", "-.inf", "9223372036854775807"),
    *("9223372036854775808", "1" * 400, "1" * 5000, "0x10", "0o7", "1_000", "1:30", "1.", ".5"),
    *("2001-01-01", "1h30m", "999999999h", "20%", "0%", "normal:1e-400", "normal:.", "cuda:1000"),
    *("he", "sgd", "grid", "x" * 10_000, "é", "😀", "\u202eabc", "'\u2028'", r'"\0"', r'"\ud800"'),
    *(r'"\e]52;c;ZXZpbA==\a"', r'"\U0001F600"', r'"\UFFFFFFFF"', r'"\xff"', r'"\n\n"', "'", '"'),
    *("!!python/object/apply:os.system [true]", "!!python/name:os.system ''", "!!binary aGk="),
    *("!!set {a, b}", "!x 1", "!!float 1", "&a 1", "*a", "<<", "? x", "- x", "|", ">", "#", "%"),
    *("@", "`", "---", "...", "[", "]", "{", "}", "[]", "{}", "[[]]", "[{}]", "[1, 2]", "[null]"),
    *("{a: 1, a: 2}", "{? [a] : 1}", "{low: 1, high: 2}", "{low: 1e-320, high: 1e308, log: true}"),
    *("{low: 0.1, high: 0.9, step: 1e-9}", "{low: 1, high: 9, points: 99999999999}"),
    *("{choices: [1, 2], when: {lr: 1}}", "{choices: []}", "{min: 1, max: 2}", "{folds: 5}"),
    *("[0.1, 0.2]", "[1, true]", "[[1], [2, 3]]", "{_type: loguniform, _value: [1, .nan]}"),
)
ODD_NAMES = (
    *("", "''", "<<", "null", "true", "1", ".nan", "é", "x" * 5000, r'"\e[2J"', r'"\ud800"'),
    *("train.lr", "space.lr", "? [a]", "!!str lr", "&a lr", "*a", "low", "high", "step", "when"),
    *("log", "points", "choices", "set", "top", "pad", "folds", "space", "stages", "min", "_type"),
    *OWNER,
    *SECTIONS,
)
ODD_BYTES = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\r", b"\r\n", b"\t"),
    *(b"\x1b[2J", b"\x07", b"\x85", b"\xc2\x85", codecs.BOM_UTF8, b"\xe2\x80\xae", b"\xe2\x80\xa8"),
    *(b"\n", b"\n---\n", b"\n...\n", b":", b": ", b"#", b"%YAML 9.9\n---\n", b"!!", b"&a ", b"*a"),
    *(b"{", b"}", b"[", b"]", b"'", b'"', b"\\", b"- ", b"? ", b"|", b">", b"[" * 3000),
)
WHOLE_FILES = (
    *(b"", b"\n", b"\0", b"\0" * 1000, b"# nothing", b"---", b"x", b"- x", b"{}", b"[]", b"\xff"),
    *(codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"# " + b"x" * 1_000_000, b"SQLite format 3\0" * 10),
    *(b"{" * 20_000, b"[" * 20_000, b"a: " * 20_000, b"- " * 20_000, b"&a [*a]"),
    *(b"\n" * 500_000, b"x\n" * 9_000, b'"' + b"\\" * 9999),
    *(b"".join(b"k%d: 1\n" % i for i in range(9_000)), b"data: {" + b"a: 1, " * 9_000 + b"}"),
)


@dataclass(frozen=True)
class Mutant:
    """What a user could hand to `cnnsearch check`.

    Args:
        sets: of -S.
        trials: of -n.
    """

    content: bytes
    name: str = "file.yaml"
    sets: tuple[str, ...] = ()
    trials: int | None = None


@dataclass
class Pairs:
    """A mapping; a name may stand twice."""

    entries: list[tuple[str, Tree]]


Tree = str | list["Tree"] | Pairs
"""Values are the texts that stand in the file."""


def tree_of(text: str) -> Tree:
    """The tree of a YAML text, its values as they were written."""
    return _tree(yaml.compose(text, yaml.SafeLoader), text)


def _tree(node: yaml.Node | None, text: str) -> Tree:
    if isinstance(node, yaml.MappingNode):
        return Pairs([(key.value, _tree(value, text)) for key, value in node.value])
    if isinstance(node, yaml.SequenceNode):
        return [_tree(item, text) for item in node.value]
    assert node is not None
    return text[node.start_mark.index : node.end_mark.index]


def written(tree: Tree, blocks: int = 2, indent: str = "") -> str:
    """The tree as YAML, its first levels in block style."""
    if blocks and isinstance(tree, Pairs) and tree.entries:
        return "".join(
            f"{indent}{name}:{_below(value, blocks - 1, indent)}" for name, value in tree.entries
        )
    return _flow(tree) + "\n"


def _below(value: Tree, blocks: int, indent: str) -> str:
    text = written(value, blocks, indent + "  ")
    return f"\n{text}" if blocks and isinstance(value, Pairs) and value.entries else f" {text}"


def _flow(tree: Tree) -> str:
    if isinstance(tree, Pairs):
        return "{" + ", ".join(f"{name}: {_flow(value)}" for name, value in tree.entries) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_flow, tree)) + "]"
    return tree


def _inner(tree: Tree) -> Iterator[Pairs | list[Tree]]:
    """Everything that holds something, from the top down."""
    if isinstance(tree, str):
        return
    yield tree
    for value in _values(tree):
        yield from _inner(value)


def _values(tree: Pairs | list[Tree]) -> list[Tree]:
    return [value for _, value in tree.entries] if isinstance(tree, Pairs) else tree


_EDITS = (
    "borrow",
    "borrow",
    "delete",
    "double",
    "graft",
    "rename",
    "swap",
    "value",
    "value",
    "wrap",
)
_ACCIDENTS = ("cut", "delete", "double", "encoding", "flip", "insert", "random")

_numbers = st.one_of(
    # Not below 2.2e-308: torch may have told this process to take such numbers for 0.
    st.floats(allow_subnormal=False).map(repr),
    st.integers().map(str),
    st.integers(0, 9).map(lambda n: f"1e-{n}"),
)
_texts = st.text(max_size=20)
_values_put_in = st.one_of(st.sampled_from(ODD_VALUES), _numbers, _texts)


@st.composite
def _edited(draw: st.DrawFn, tree: Tree) -> Tree:
    """The tree with one edit somewhere; it is changed in place."""
    inner = [part for part in _inner(tree) if _values(part)]
    if not inner:
        return draw(_values_put_in)
    part = draw(st.sampled_from(inner))
    entries: list[object] = part.entries if isinstance(part, Pairs) else part  # type: ignore[assignment]
    place = draw(st.integers(0, len(entries) - 1))
    match draw(st.sampled_from(_EDITS)):
        case "delete":
            del entries[place]
        case "double":
            entries.insert(place, entries[place])
        case "swap":
            other = draw(st.integers(0, len(entries) - 1))
            entries[place], entries[other] = entries[other], entries[place]
        case "rename" if isinstance(part, Pairs):
            name = draw(st.one_of(st.sampled_from(ODD_NAMES), _texts))
            part.entries[place] = (name, part.entries[place][1])
        case "borrow" if isinstance(part, Pairs) and part.entries[place][0] in _BORROWED:
            choices = _BORROWED[part.entries[place][0]]
            _put(part, place, deepcopy(draw(st.sampled_from(choices))))
        case "graft":
            donors = list(_inner(tree_of(draw(st.sampled_from(SEEDS)))))
            _put(part, place, draw(st.sampled_from(donors)))
        case "wrap":
            depth = draw(st.sampled_from([1, 2, 13, 2000]))
            opened, closed = draw(st.sampled_from([("[", "]"), ("{a: ", "}"), ("{low: ", "}")]))
            _put(part, place, f"{opened * depth}{_flow(_values(part)[place])}{closed * depth}")
        case _:
            _put(part, place, draw(_values_put_in))
    return tree


def _borrowed() -> dict[str, list[Tree]]:
    """Every value that stands in a seed, or that a config can name, by the name it has there."""
    found: dict[str, list[Tree]] = {}
    for part in (part for text in SEEDS for part in _inner(tree_of(text))):
        for name, value in part.entries if isinstance(part, Pairs) else ():
            found.setdefault(name, []).append(value)
    for name in found.keys() & OWNER.keys():
        found[name] += json_schema(name).get("enum", [])
    return found


_BORROWED = _borrowed()


def _put(part: Pairs | list[Tree], place: int, value: Tree) -> None:
    if isinstance(part, Pairs):
        part.entries[place] = (part.entries[place][0], value)
    else:
        part[place] = value


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with one accident."""
    place = draw(st.integers(0, len(content)))
    end = draw(st.integers(place, min(len(content), place + 40)))
    before, within, after = content[:place], content[place:end], content[end:]
    match draw(st.sampled_from(_ACCIDENTS)):
        case "cut":
            return before
        case "delete":
            return before + after
        case "double":
            return before + within * 2 + after
        case "flip" if after:
            return before + within + bytes([after[0] ^ 1 << draw(st.integers(0, 7))]) + after[1:]
        case "encoding":
            text = content.decode("utf-8", "replace")
            return text.encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "utf-7"])))
        case "random":
            return before + draw(st.binary(max_size=20)) + after
        case _:
            return before + draw(st.sampled_from(ODD_BYTES)) + after


@st.composite
def mutants(draw: st.DrawFn) -> Mutant:
    """Files with up to four edits and two accidents, under odd names, with odd options."""
    if draw(st.integers(0, 29)) == 0:
        content = draw(st.one_of(st.sampled_from(WHOLE_FILES), st.binary(max_size=200)))
    else:
        tree = tree_of(draw(st.sampled_from(SEEDS)))
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3, 4, 0]))):
            tree = draw(_edited(tree))
        text = written(tree, draw(st.integers(0, 3)))
        content = text.encode("utf-8", "surrogatepass")
        for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 2]))):
            content = draw(_damaged(content))
    name = draw(st.sampled_from(["file.yaml"] * 27 + ["a b.yaml", "\u202e\x1b[2J.yaml", "é" * 50]))
    setting = st.builds(
        "{}={}".format, st.one_of(st.sampled_from(ODD_NAMES), _texts), _values_put_in
    )
    some = draw(st.integers(0, 4)) == 0
    sets = tuple(draw(st.lists(setting, max_size=2))) if some else ()
    trials = draw(st.sampled_from([None] * 12 + [0, 3, 20_000, 10**30]))
    return Mutant(content, name, sets, trials)


@dataclass(frozen=True)
class Judged:
    """How a mutant was taken.

    Args:
        refusal: the lines told; None of a valid config.
        seconds: of CPU time, to read and check it.
    """

    refusal: str | None
    seconds: float


def judge(mutant: Mutant, folder: Path) -> Judged:
    """Read a mutant as `cnnsearch check` does before it looks at images.

    Raises:
        AssertionError: a valid config does not come back as it was, a line of a refusal names no
            place, or it took too long. Any other exception than InputError comes as it is.
    """
    path = folder / mutant.name
    path.write_bytes(mutant.content)
    begun = time.process_time()
    refusal = None
    try:
        config, notes = load_with_notes(path, mutant.sets, mutant.trials)
    except InputError as error:
        refusal, told = str(error), str(error).splitlines() or ["refused without a word"]
    else:
        told = notes
    judged = Judged(refusal, time.process_time() - begun)
    _check_lines(told, path)
    if refusal is None:
        _check_round_trips(config, path, mutant.trials)
    assert judged.seconds < MAX_SECONDS, f"{judged.seconds:.1f} s"
    return judged


def _check_lines(lines: list[str], path: Path) -> None:
    for line in lines:
        assert line.startswith((f"{cleaned(str(path))}:", "-S ", "-n ")), f"no place: {line}"
        assert line.isprintable(), line
        assert len(line) - len(str(path)) < _LONGEST_LINE, line


def _check_round_trips(config: Config, path: Path, trials: int | None) -> None:
    assert from_plain(json.loads(json.dumps(config.plain(), allow_nan=False))) == config
    again = path.with_name("again.yaml")
    runs = (
        [config.at(random_point(config.space, config.seed, k), k) for k in (0, 1)]
        if config.space
        else []
    )
    for one, wanted in [(config, trials), *((run, None) for run in runs)]:
        again.write_text(to_yaml(one), encoding="utf-8")
        assert load_with_notes(again, trials=wanted)[0] == one
