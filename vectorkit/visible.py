"""Text that others wrote, where it is shown: without characters that steer a terminal or hide what stands there."""

import re
from typing import Final

__all__ = ["visible"]

_STEERING: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1: escape sequences begin with them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional formatting (UAX #9): order other than it is read
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates, of file names that are no UTF-8: no terminal can be sent them
    "\U000e0000-\U000e007f"  # tags, which are invisible
    "]"
)


def visible(text: str) -> str:
    """The text with U+FFFD in the place of each such character, so that its length stays."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)
