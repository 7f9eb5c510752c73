"""JSON from outside: strict, so that nothing in it is lost, and bounded."""

import json
from typing import Any

import pytest

from vectorkit._json import parse_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the name 'a' stands twice"),
        ('[{"b": {"a": 1, "c": 2, "a": 1}}]', "the name 'a' stands twice"),
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ("[" * 500 + "]" * 500, "nested deeper than 100 levels"),
        ('{"a":' * 10**5, "nested deeper than 100 levels"),
        ("9" * 5000, "limit"),
        (b'"\xe9"', "utf-8"),
        ("{]", "Expecting"),
        ("1 2", "Extra data"),
        ("", "Expecting value"),
    ],
)
def test_what_json_would_lose_or_end_in_is_an_error(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


@pytest.mark.parametrize("text", ['{"a": [1, 1.0, 1e16, true, null, "\\u00e9"]}', "[" * 100 + "]" * 100, "[[]]" + " "])
def test_other_json_is_read_as_python_reads_it(text: str) -> None:
    expected: Any = json.loads(text)
    assert repr(parse_json(text)) == repr(parse_json(b"\xef\xbb\xbf" + text.encode())) == repr(expected)


def test_many_brackets_are_not_deep() -> None:
    text = json.dumps([[number] for number in range(1000)])
    assert parse_json(text) == json.loads(text)
