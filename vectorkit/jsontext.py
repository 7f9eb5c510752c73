"""JSON from outside: what is nested too deeply for the parser is malformed, like any other text that is no JSON."""

import json

__all__ = ["read_json"]


def read_json(text: str | bytes) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: It is not JSON, or nested more deeply than Python's parser goes (about 1,000 levels).
    """
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise ValueError("lists and objects are nested too deeply") from None
    return value
