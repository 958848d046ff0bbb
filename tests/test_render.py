"""What reaches the terminal: clean text, aligned tables, strict JSON, curves."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnsearch.records import Value
from cnnsearch.render import curves, output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table, blocks, csv_text, fitted, markdown_text
from cnnsearch.render.text import (
    age_text,
    clean,
    defused,
    exact,
    measure,
    number,
    one_line,
    seconds_text,
    strict,
    told_apart,
    value_text,
)
from tests.terminals import on_terminal


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("plain [/red] text", "plain [/red] text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
        ("a\x1bPdcs\x1b\\b", "ab"),
        ("a\x1b]8;;http://evil\nb", "a\nb"),
        ("a\x9b31mb\x9d0;t\x9cc", "abc"),
        ("a\x1bcb\x1b", "ab"),
        ("\x00\x08\x7f\x85x", "x"),
        ("over\rwritten\r\nnext", "overwritten\nnext"),
        ("\u202eabc\u2066\u200f\u2028", "abc"),
        ("é 日本 ✓", "é 日本 ✓"),
        ("bad \udcff", "bad ?"),
        ("a\tb", "a   b"),
    ],
)
def test_clean(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *BIDI])
def test_clean_leaves_no_control_character(code: int) -> None:
    assert set(clean(f"a{chr(code)}b")) <= set("ab\n ")


def test_one_line_has_no_line_break() -> None:
    assert one_line(" a\n\tb \x1b[2Jc") == "a b c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.0332), "0.0332"),
        (number(1e-5), "1e-05"),
        (number(12), "12"),
        (number(math.nan), "nan"),
        (number(-math.inf), "-inf"),
        (measure(0.9712), "0.9712"),
        (measure(1e-6), "1e-06"),
        (measure(0.0), "0.0000"),
        (measure(3.2e9), "3.2e+09"),
        (measure(None), "-"),
        (value_text(True), "true"),
        (value_text([32, 64]), "[32, 64]"),
        (value_text(None), "-"),
        (exact(0.1 + 0.2), "0.30000000000000004"),
        (exact(math.nan), ""),
        (exact([1, 2]), "[1, 2]"),
        (seconds_text(0.412), "0.41s"),
        (seconds_text(9.96), "10s"),
        (seconds_text(59.6), "1m00s"),
        (seconds_text(125), "2m05s"),
        (seconds_text(3 * 3600 + 12 * 60), "3h12m"),
        (seconds_text(100_000), "1d03h"),
        (age_text(None, 0.0), "-"),
        (age_text(100.0, 110.0), "just now"),
        (age_text(0.0, 300.0), "5 min ago"),
        (age_text(0.0, 3 * 86400.0), "3 d ago"),
    ],
)
def test_numbers_as_text(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.1, 1], ["0.1", "0.1", "1"]),
        ([0.0123412, 0.0123441], ["0.012341", "0.012344"]),
        ([0.3, 0.1 + 0.2], ["0.29999999999999999", "0.30000000000000004"]),
        ([1, 1.0, None], ["1", "1", "-"]),
        ([True, 0.12341, 0.12342], ["true", "0.12341", "0.12342"]),
        (["he", "xavier"], ["he", "xavier"]),
    ],
)
def test_different_numbers_look_different(values: list[Value], expected: list[str]) -> None:
    assert told_apart(values, value_text) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-cmd", "'-cmd"),
        ("+x", "'+x"),
        ("-0.5", "-0.5"),
        ("+1e3", "+1e3"),
        ("a=b", "a=b"),
    ],
)
def test_csv_cells_are_no_formulas(cell: str, expected: str) -> None:
    assert defused(cell) == expected


def test_strict_json_has_no_nan() -> None:
    data = {"a": math.nan, "b": [math.inf, (1, -math.inf)], "c": {"d": 1.5}}
    assert json.dumps(strict(data), allow_nan=False) == (
        '{"a": null, "b": [null, [1, null]], "c": {"d": 1.5}}'
    )


TABLE = Table(
    (
        Column("number", right=True),
        Column("state"),
        Column("seconds", right=True, spare=True),
        Column("lr"),
        Column("reason", lambda text: text or "", prose=True),
    ),
    [[3, "complete", 12, 0.123456789, None], [14, "failed", 7, 1e-5, "=boom | a, " + "word " * 12]],
)


def texts(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_wide_table_has_everything_in_one_row() -> None:
    lines = texts(fitted(TABLE, 200))
    assert lines[:2] == [
        "number  state     seconds  lr      reason",
        "     3  complete       12  0.1235",
    ]
    assert lines[2].startswith("    14  failed          7  1e-05   =boom | a, word word")
    assert len(lines) == 3


def test_medium_table_wraps_the_reason_in_its_column() -> None:
    lines = texts(fitted(TABLE, 70))
    assert "word" in lines[2]
    assert lines[3].startswith(" " * 35 + "word")
    assert all(len(line) <= 70 for line in lines)


def test_narrow_table_puts_the_reason_below_and_drops_spare_columns() -> None:
    lines = texts(fitted(TABLE, 30))
    assert lines[0] == "number  state     lr"
    assert lines[3].startswith("    =boom")
    assert all(len(line) <= 30 for line in lines)


@pytest.mark.parametrize("width", [20, 24, 30, 50, 80])
def test_no_number_is_ever_cut(width: int) -> None:
    lines = texts(fitted(TABLE, width))
    shown = " ".join(lines).split()
    if "lr" in lines[0].split():
        assert "0.1235" in shown
    else:
        assert "lr:" in shown, "a column that is left out is named"
    assert {"3", "14"} <= set(shown)
    assert all(len(line) <= width for line in lines)


def test_csv_reads_back_and_keeps_every_digit() -> None:
    rows = list(csv.reader(io.StringIO(csv_text(TABLE))))
    assert rows[0] == ["number", "state", "seconds", "lr", "reason"]
    assert rows[1] == ["3", "complete", "12", "0.123456789", ""]
    assert rows[2][-1].startswith("'=boom | a, word")


def test_markdown_escapes_bars() -> None:
    lines = markdown_text(TABLE).splitlines()
    assert lines[1] == "| --: | --- | --: | --- | --- |"
    assert "=boom \\| a" in lines[3]


def test_blocks_repeat_the_first_column() -> None:
    table = Table(tuple(Column(name * 8) for name in "abcde"), [["x"] * 5])
    parts = blocks(table, 28)
    assert [[c.name[0] for c in part.columns] for part in parts] == [
        ["a", "b", "c"],
        ["a", "d", "e"],
    ]


def test_wide_characters_take_two_columns() -> None:
    table = Table((Column("name"), Column("n")), [["日本", 1], ["abcd", 2]])
    lines = texts(fitted(table, 80))
    assert lines[1:] == ["日本  1", "abcd  2"]


POINTS = [(1, 2.3), (2, 1.2), (3, 0.8)]


def test_curves_have_a_mark_each() -> None:
    two = [curves.Curve("a", POINTS), curves.Curve("b", [(1, 0.5), (3, 0.6)])]
    lines = texts(curves.plot("loss", two, (40, 12)))
    assert len(lines) == 12
    assert max(len(line) for line in lines) <= 40
    assert "●" in "".join(lines)
    assert "▲" in "".join(lines)
    assert texts([curves.legend(["a", "b"])]) == ["● a   ▲ b"]
    assert lines[-1].split() == ["1", "2", "3"], "epochs are whole"


@pytest.mark.parametrize(
    "heights",
    [
        [math.nan, math.inf, 0.5],
        [math.nan],
        [0.0, 0.0],
        [1e308, 1e-308, 2.0],
        [-1e308, 1e308],
        [5e-324],
        [0.5] * 300,
    ],
    ids=str,
)
def test_odd_values_do_not_end_the_process(heights: list[float]) -> None:
    """plotext 6.1 aborts on a NaN: in a process of its own, so that the others go on."""
    code = (
        "from math import inf, nan\nfrom cnnsearch.render import curves\n"
        f"ys = {heights!r}\n"
        "lines = curves.plot('loss', [curves.Curve('a', list(enumerate(ys, 1)))], (40, 10))\n"
        "assert len(lines) in (2, 10), len(lines)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_a_diverging_loss_gets_a_log_axis() -> None:
    lines = texts(curves.plot("loss", [curves.Curve("a", [(1, 2.0), (2, 2e9)])], (40, 10)))
    assert lines[0].strip() == "loss (log scale)"
    assert "2e+09" in "".join(lines)


def test_pictures_side_by_side() -> None:
    left: list[Line] = [[("ab", "bold")], [("c", "")]]
    right: list[Line] = [[("x", "")]]
    assert texts(curves.beside(left, right, 4)) == ["ab  x", "c"]


def run_python(code: str, **variables: str) -> bytes:
    environment = {**os.environ, **variables}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert found.returncode == 0, found.stderr.decode()
    return found.stdout


PLOT = (
    "from cnnsearch.render import curves, output\n"
    "output.write_lines(curves.plot('loss', [curves.Curve('a', [(1, 2.0), (2, 1.0)])], (40, 10)))\n"
    "output.write_lines([curves.legend(['a'])])\n"
)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_ascii_where_the_locale_is_not_utf8(variables: dict[str, str]) -> None:
    plain = run_python(PLOT, **variables)
    assert plain.isascii()
    assert b"* a" in plain
    assert b"*****" in plain


def test_line_drawing_where_the_locale_is_utf8() -> None:
    assert "●●●".encode() in run_python(PLOT, LC_ALL="C.UTF-8")


def test_a_pipe_gets_no_escape_sequence(tmp_path: Path) -> None:
    plain = run_python(
        "from cnnsearch.render import output\n"
        "output.write_lines([[('\\x1b]0;x\\x07bold', 'bold red'), (' [/red]', '')]])\n",
        FORCE_COLOR="1",
    )
    assert plain == b"bold [/red]\n"


COLOURED = (
    "from cnnsearch.render import output\n"
    "output.write_lines([[('\\x1b]0;x\\x07word', 'red'), (' [/red] [bold]x', '')]])\n"
)


def test_colour_on_a_terminal_and_markup_is_text() -> None:
    found = on_terminal(["-c", COLOURED])
    assert "\x1b[31mword\x1b[0m [/red] [bold]x" in found
    assert "\x1b]" not in found


def test_no_color_is_obeyed() -> None:
    found = on_terminal(["-c", COLOURED], NO_COLOR="1")
    assert "\x1b[31m" not in found
    assert "word [/red] [bold]x" in found


def test_json_is_ascii_and_strict(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json({"name": "é\x9b\u202e", "loss": math.nan})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"name": "é\x9b\u202e", "loss": None}
