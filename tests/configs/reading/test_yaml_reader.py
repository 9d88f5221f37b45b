import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.reading.yaml_reader import parse_value, read_yaml
from tests.configs.conftest import Write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("+3.", 3.0),
        ("12", 12),
        ("-1", -1),
        ("0x10", 16),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("true", True),
        ("False", False),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("", None),
        ("null", None),
        ("~", None),
        ("'1e-3'", "1e-3"),
        ("[1, a, {b: null}]", [1, "a", {"b": None}]),
        ("None", "None"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


def test_infinity_is_a_number() -> None:
    assert parse_value("-.inf") == -math.inf


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(json_values)
def test_ascii_json_is_read_as_json(value: object) -> None:
    text = json.dumps(value)
    if "\\u" in text or "<<" in text or "\x7f" in text:  # surrogate pairs, merge keys
        return
    assert parse_value(text) == value


@given(st.text())
def test_any_text_is_a_value_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        parse_value(text)


def test_messages_are_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_value("[1,\n {2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"x\.yaml:3: key 'a' is already set in line 1"),
        ("a:\n  b: 1\n  b: 2", r"x\.yaml:3: key 'b' is already set in line 2"),
        ("a: 1\nb: [1, 2", r"x\.yaml:2: not valid YAML"),
        ("a:\n\t- 1", r"x\.yaml:2: not valid YAML: a tab; indent with spaces"),
        ("a: !!python/object:os.system x", r"x\.yaml:1: tag .* is not allowed"),
        ("a: !mine x", r"x\.yaml:1: tag '!mine' is not allowed"),
        ("a: &b {<<: {c: 1}}", r"x\.yaml:1: merge keys"),
        ("a: &b [*b]", r"x\.yaml:1: an alias that contains itself"),
        ("- 1", r"x\.yaml must have keys and values, found a list"),
        ("word", r"x\.yaml must have keys and values, found the single value 'word'"),
        ("a: 1\n---\nb: 2", r"x\.yaml:2: not valid YAML"),
    ],
)
def test_mistakes_name_file_and_line(write: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_yaml(write("x.yaml", text))


def test_an_alias_may_be_used_twice(write: Write) -> None:
    assert read_yaml(write("x.yaml", "a: &n [1]\nb: *n\nc: *n")).values["c"] == [1]


def test_lines_are_known_at_every_depth(write: Write) -> None:
    document = read_yaml(write("x.yaml", "# head\na:\n  b: {c: 1}\nd:\n  - e: 2\n"))
    assert document.lines[("a",)] == 2
    assert document.lines[("a", "b", "c")] == 3
    assert document.lines[("d",)] == 4


def test_a_file_is_read_as_it_is_now_whatever_was_done_with_its_values(write: Write) -> None:
    path = write("x.yaml", "a: {b: [1, 2]}\nc: 3\n")
    first = read_yaml(path).values
    first["a"]["b"].append(3)
    del first["c"]
    assert read_yaml(path).values == {"a": {"b": [1, 2]}, "c": 3}
    write("x.yaml", "a: 5\n")
    assert read_yaml(path).values == {"a": 5}


def test_an_empty_file_is_an_empty_mapping(write: Write) -> None:
    assert read_yaml(write("x.yaml", "# nothing\n")).values == {}


def test_unreadable_files(write: Write) -> None:
    path = write("x.yaml", "")
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read x\.yaml: it is not UTF-8 text"):
        read_yaml(path)
    with pytest.raises(ConfigError, match=r"cannot read gone\.yaml: No such file"):
        read_yaml(path.with_name("gone.yaml"))


def test_aliases_that_repeat_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="more than 200000 values"):
        parse_value("\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [("[" * 5000, "nested too deeply"), ("%YAML 1.1\n---\n!!int", "is not allowed")],
)
def test_what_the_parser_stumbles_over_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_value(text)
