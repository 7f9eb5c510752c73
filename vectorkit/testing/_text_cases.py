"""Truth tables on text: order by code point, odd keys, and payloads that must stay data (rules 5.4, 5.5, 5.9, 5.12)."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from vectorkit.testing._tables import Case, Table

__all__ = ["KEYS", "PAYLOADS", "STRINGS"]

# fmt: off
# From the smallest to the largest by code point, which no locale and no UTF-16 order keeps.
_AXIS: Final = {
    "empty": "", "tab": "\t", "newline": "\n", "blank": " ", "quotes": '"', "percent": "%", "apostrophe": "'",
    "date-1": "2024-01-31", "date-2": "2024-10-01", "date-3": "2024-9-30", "A": "A", "Z": "Z", "backslash": "\\",
    "underscore": "_", "a": "a", "a-blank": "a ", "a-percent": "a%b", "a-comma": "a,b", "a-backslash": "a\\b",
    "a-underscore": "a_b", "aa": "aa", "axb": "axb", "b": "b", "nfd": "e\u0301", "ss": "ss", "z": "z", "szlig": "ß",
    "nfc": "é", "dotless": "ı", "cyrillic": "ж", "private": "\ue000", "wide-tilde": "\uff5e", "astral": "\U00010000",
}
# fmt: on
_ORDER: Final = sorted(_AXIS, key=lambda id: [ord(character) for character in _AXIS[id]])


def _above(id: str) -> str:
    return " ".join(_ORDER[_ORDER.index(id) + 1 :])


def _up_to(id: str) -> str:
    return " ".join(_ORDER[: _ORDER.index(id) + 1])


# fmt: off
STRINGS: Final = Table.of_key(
    "s",
    {**_AXIS, "number": 2024, "bool": True, "null": None, "list": ["a", "b"]},
    [
        *((text, id) for id, text in _AXIS.items()), *(({"$in": [text]}, id) for id, text in list(_AXIS.items())[::3]),
        *(({"$ne": text}, f"!{id}") for id, text in list(_AXIS.items())[1::4]), ({"$gt": ""}, _above("empty")),
        ({"$gte": ""}, _up_to("astral")), ({"$lt": ""}, ""), ({"$lt": " "}, "empty tab newline"),
        ({"$gt": "A"}, _above("A")), ({"$gte": "A"}, _above("date-3")), ({"$lt": "A"}, _up_to("date-3")),
        ({"$lte": "A"}, _up_to("A")), ({"$gt": "Z"}, _above("Z")), ({"$lt": "a"}, _up_to("underscore")),
        ({"$lte": "a"}, _up_to("a")), ({"$gt": "a"}, _above("a")), ({"$gt": "a "}, _above("a-blank")),
        ({"$gte": "a_"}, _above("a-backslash")), ({"$lt": "a_b"}, _up_to("a-backslash")),
        ({"$gt": "z"}, "szlig nfc dotless cyrillic private wide-tilde astral"),
        ({"$gt": "\ud7ff"}, "private wide-tilde astral"), ({"$gte": "\uff5e"}, "wide-tilde astral"),
        ({"$gt": "\uff5e"}, "astral"), ({"$lt": "\U00010000"}, _up_to("wide-tilde")), ({"$gt": "\U00010000"}, ""),
        ({"$lte": "\U0010ffff"}, _up_to("astral")), ({"$gt": "e\u0301"}, _above("nfd")),
        ({"$gte": "2024-01-01", "$lt": "2024-12-31"}, "date-1 date-2"), ({"$gt": "2024-9"}, _above("date-2")),
        ({"$gte": "2024-10"}, _above("date-1")), ({"$lt": "2024"}, "empty tab newline blank quotes percent apostrophe"),
        ({"$gt": "%"}, _above("percent")), ({"$lt": "'"}, "empty tab newline blank quotes percent"),
        ({"$gt": "\\"}, _above("backslash")), (2024, "number"), ({"$gt": 0}, "number"), ({"$lte": 2024}, "number"),
        (True, "bool"), (None, "null"), ("2024", ""), ("É", ""), ("Ж", ""), ("SS", ""), ("a  ", ""), (" a", ""),
        ("%%", ""), ("a.b", ""), ("I", ""),
    ],
)
# fmt: on

# fmt: off
_KEYS: Final = [
    "a", "A", "aa", "a ", " a", " ", "a b", "a.b", "a..b", ".", "a.", ".a", "a/b", "a\\b", "a,b", "a;b", "a:b", "a|b",
    "'", '"', "a'b", 'a"b', "''", "`", "a`b", "--", "/*", "*/", "a--b", "(", ")", "a()", "[0]", "a[0]", "a[*]", "*",
    "?", "a->b", "a->>'b'", "a#>b", "a@>b", "@", "@.a", "a$b", "x$and", "x$eq", "and", "or", "not", "eq", "~1", "^",
    "&", "%", "%s", "%(a)s", "%%", "_", "{}", "{0}", "{a}", "{a,b}", "\\", "\\\\", "\\'", "\\n", "\n", "\t", "\r",
    "\x01", "\x7f", "é", "e\u0301", "ключ", "鍵", "😀", "\u200b", "\u2028", "ß", "İ", "\U0010ffff", "０", "0", "1",
    "-1", "1.5", "true", "null", "None", "NaN", "id", "ID", "document", "embedding", "metadata", "distance", "score",
    "where", "_id", "__proto__", "constructor", "chroma", "chroma_document", "vk", "_v", "v_vk", "x" * 256, "a = 1",
    "1=1", "x'; DROP TABLE records; --",
]
# fmt: on


def _groups(texts: list[str], letter: str) -> list[tuple[str, list[str]]]:
    """Texts with the ids of their records, five at a time; those that look alike stand in different groups."""
    count = len(texts) // 5
    return [(" ".join(_ids(range(first, len(texts), count), letter)), texts[first::count]) for first in range(count)]


def _ids(numbers: Iterable[int], letter: str) -> list[str]:
    return [f"{letter}{number:03}" for number in numbers]


def _keys(texts: list[str]) -> list[str]:
    return [text for text in texts if not text.startswith(("$", "#"))]


def _every(combination: str, texts: list[str], condition: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return {combination: [condition(text) for text in texts]}


_KEY_IDS: Final = _ids(range(len(_KEYS)), "k")
_KEY_GROUPS: Final = _groups(_KEYS, "k")

KEYS: Final = Table(
    # Each record has one key; `nested` has what `n.b` would be if a dot were a path.
    {
        **{id: {key: 1} for id, key in zip(_KEY_IDS, _KEYS, strict=True)},
        "nested": {"n": {"b": 1, "c": [1]}, "l": [5, {"b": 1}]},
        "empty": {},
    },
    [
        *(Case({key: 1}, id) for id, key in zip(_KEY_IDS, _KEYS, strict=True)),
        *(Case(_every("$or", keys, lambda key: {key: {"$exists": True}}), ids) for ids, keys in _KEY_GROUPS),
        *(Case(_every("$or", keys, lambda key: {key: {"$gte": 1, "$ne": 2}}), ids) for ids, keys in _KEY_GROUPS),
        *(Case(_every("$and", keys, lambda key: {key: {"$ne": 1}}), f"!{ids}") for ids, keys in _KEY_GROUPS),
        *(Case(dict.fromkeys(keys), f"!{ids}") for ids, keys in _KEY_GROUPS[::2]),
        *(Case({key: {"$exists": True}}, "") for key in ("n.b", "n.c", "n.c[0]", "l[0]", "l.0", "n->b", "N", "n ")),
        *(Case({key: 1}, "") for key in ("n.b", "b", "n/b", "n,b", "{n,b}", "n.c", "l.1.b")),
        *(Case({key: 5}, "") for key in ("l[0]", "l.0", "l,0")),
        Case({"n": {"$exists": True}, "l": {"$contains": 5}}, "nested"),
    ],
)

# fmt: off
_PAYLOADS: Final = [
    "' OR 1=1 --", "' OR '1'='1", '" OR ""="', "'; DROP TABLE records; --", "'); DELETE FROM records; --", "1) OR (1=1",
    "a' || 'b", "$eq", "$and", '{"$ne": null}', '{"$exists": true}', "$$", "$1", "$.a", "$.a ? (@ > 1)", "$[*]", '"',
    '""', "'", "''", "%s", "%(x)s", "%%", "%", "_", "%a%", "{}", "{0}", "{x}", "{x.__class__}", "{{", "\\", "\\\\",
    "\\'", "\\x00", "\\u0000", "\\0", "NULL", "null", "None", "true", "[1]", "[]", '["a"]', '{"a": 1}', '"a"', "a", "1",
    "1.0", "NaN", "Infinity", "-Infinity", "/*", "*/", "--", ";", "E'\\n'", "::text", "'::jsonb", "?", "?|", "@>",
    "->>", "ARRAY[1]", "now()", "SELECT 1", "*", ".*", "^a$", "\n", "\r\n", "\t", "\u2028", "\x01", "\x7f", "\x1b[31m",
    "\u202e", "\ufeff", "😀", "é", "e\u0301", "<script>", "&amp;", "%27", "#",
]
# fmt: on

_PAYLOAD_IDS: Final = _ids(range(len(_PAYLOADS)), "p")
_PAYLOAD_GROUPS: Final = _groups(_PAYLOADS, "p")

PAYLOADS: Final = Table(
    {id: {"v": text, "l": ["x", text]} for id, text in zip(_PAYLOAD_IDS, _PAYLOADS, strict=True)},
    [
        *(Case({"v": text}, id) for id, text in zip(_PAYLOAD_IDS, _PAYLOADS, strict=True)),
        *(Case({"v": {"$in": texts}}, ids) for ids, texts in _PAYLOAD_GROUPS),
        *(Case({"v": {"$nin": texts}}, f"!{ids}") for ids, texts in _PAYLOAD_GROUPS),
        *(
            Case(_every("$or", texts, lambda text: {"v": {"$gte": text, "$lte": text}}), ids)
            for ids, texts in _PAYLOAD_GROUPS
        ),
        *(Case(_every("$or", texts, lambda text: {"l": {"$contains": text}}), ids) for ids, texts in _PAYLOAD_GROUPS),
        *(
            Case(None, id, {"$contains": f"<{text}>"})
            for id, text in zip(_PAYLOAD_IDS[::3], _PAYLOADS[::3], strict=True)
        ),
        *(
            Case(None, ids, _every("$or", texts, lambda text: {"$contains": f"<{text}>"}))
            for ids, texts in _PAYLOAD_GROUPS
        ),
        *(
            Case(_every("$or", _keys(texts), lambda text: {text: {"$exists": True}}), "")
            for _, texts in _PAYLOAD_GROUPS
        ),
    ],
    {id: f"{id} <{text}> {id}" for id, text in zip(_PAYLOAD_IDS, _PAYLOADS, strict=True)},
)
