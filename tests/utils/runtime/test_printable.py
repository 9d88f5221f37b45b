"""Text of others is shown, and does nothing."""

from hypothesis import given
from hypothesis import strategies as st

from utils.runtime.printable import (
    as_file_name,
    csv_cell,
    printable,
    printable_lines,
    shortened,
)

HARMLESS = "plain text, 1.5 \u00e9\u4e2d\U0001f600"


@given(st.text())
def test_nothing_is_left_that_moves_a_cursor(text: str) -> None:
    shown = printable(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert not any(c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for c in shown)
    shown.encode()
    assert printable(shown) == shown


def test_what_is_harmless_stays() -> None:
    assert printable(HARMLESS) == HARMLESS
    assert printable_lines("a\n\tb\x1b[31m") == "a\n\tb\\x1b[31m"
    assert printable("a\nb\x1b]0;t\x07\udce9") == "a\\nb\\x1b]0;t\\x07\\xe9"


def test_formulas_are_quoted_numbers_are_not() -> None:
    for text in ("=cmd|'/C calc'!A0", "+1+cmd", "@SUM(A1)", "-2+3", "  =1", "\t=1", "\uff1d1"):
        assert csv_cell(text).startswith("'"), text
    for text in ("-0.5", "+3", "-1 .5 .5 0.1 1e-3", "name", "", "a=b"):
        assert csv_cell(text) == text
    assert csv_cell(-2) == -2


def test_long_and_unshowable_values_are_bounded() -> None:
    assert len(shortened("x" * 10_000)) <= 203
    assert "int" in shortened(10**5000)


@given(st.text())
def test_file_names_hold_no_separator_and_fit(text: str) -> None:
    name = as_file_name(text)
    assert name
    assert "/" not in name
    assert "\\" not in name
    assert len(name.encode()) <= 100
    assert name not in (".", "..")
