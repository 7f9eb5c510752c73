"""Names and texts as SQL writes them."""

from functools import lru_cache

from psycopg.sql import Identifier

__all__ = ["literal", "quote"]


@lru_cache(maxsize=4096)  # psycopg takes 4 µs a name, and a statement on an application's table has one a column
def quote(*names: str) -> str:
    """An identifier, quoted; several names are a qualified one."""
    return Identifier(*names).as_string()


def literal(text: str) -> str:
    """A string, whatever `standard_conforming_strings` is: `psycopg.sql.Literal` goes by the last connection made."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
