"""Truth tables on text: order by code point, odd keys, and payloads that must stay data (rules 5.4, 5.5, 5.9, 5.12)."""

from typing import Final

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

_NUMBERED: Final = list(enumerate(_KEYS))

KEYS: Final = Table(
    # Each record has one key; `nested` has what `a.b` would be if a dot were a path.
    {
        **{f"k{at:03}": {key: at} for at, key in enumerate(_KEYS)},
        "nested": {"n": {"b": 1, "c": [1]}, "l": [5, {"b": 1}]},
        "empty": {},
    },
    [
        *(Case({key: at}, f"k{at:03}") for at, key in enumerate(_KEYS)),
        *(Case({key: {"$exists": True}}, f"k{at:03}") for at, key in _NUMBERED[::4]),
        *(Case({key: {"$gte": at, "$ne": -1}}, f"k{at:03}") for at, key in _NUMBERED[1::4]),
        *(Case({key: {"$ne": at}}, f"!k{at:03}") for at, key in _NUMBERED[2::6]),
        *(Case({key: None}, f"!k{at:03}") for at, key in _NUMBERED[5::6]),
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

_EVERY: Final = list(enumerate(_PAYLOADS))

PAYLOADS: Final = Table(
    {f"p{at:03}": {"v": text, "l": ["x", text]} for at, text in _EVERY},
    [
        *(Case({"v": text}, f"p{at:03}") for at, text in _EVERY),
        *(Case({"l": {"$contains": text}}, f"p{at:03}") for at, text in _EVERY[::3]),
        *(Case({"v": {"$in": [text, "nowhere"]}}, f"p{at:03}") for at, text in _EVERY[1::3]),
        *(Case({"v": {"$gte": text, "$lte": text}}, f"p{at:03}") for at, text in _EVERY[2::3]),
        *(Case({"v": {"$ne": text}}, f"!p{at:03}") for at, text in _EVERY[1::6]),
        *(Case({"l": {"$not_contains": text}}, f"!p{at:03}") for at, text in _EVERY[4::6]),
        *(Case(None, f"p{at:03}", {"$contains": f"<{text}>"}) for at, text in _EVERY),
        *(Case(None, f"!p{at:03}", {"$not_contains": f"<{text}>"}) for at, text in _EVERY[2::6]),
        *(Case({text: 1}, "") for text in _PAYLOADS[::3] if not text.startswith(("$", "#"))),
    ],
    {f"p{at:03}": f"{at} <{text}> {at}" for at, text in _EVERY},
)
