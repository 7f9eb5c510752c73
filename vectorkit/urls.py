"""What of a URL may be shown: the one place that decides it, for every `repr`, message, report and log.

A password that is not percent-encoded can end up in any part of a URL, depending on who parses it. So nothing is shown
of a URL with a server in it unless its form leaves no doubt about where the password is.
"""

import re
from typing import Final
from urllib.parse import unquote

__all__ = ["HIDDEN", "shown_scheme", "shown_url"]

HIDDEN: Final = "***"

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}", re.ASCII)
_SERVER: Final = re.compile(
    r"""//
    (?: (?P<user> (?: [\w.-] | %[0-9a-fA-F]{2} )* ) (?: :[^@/?\#\s]* )? @ )?
    (?P<place> (?: [\w.,-] | %2[fF] | :\d{1,5}(?=[,/?]|$) | \[[0-9a-fA-F:.]+\] )* (?: /[\w.-]* )* )
    (?: \? (?P<options> [^@\#\s]* ) )?
    """,
    re.ASCII | re.VERBOSE,
)
_SHOWN_OPTION: Final = re.compile(r"(?:host|port|dbname|schema|sslmode)=(?:[\w./,-]|%2[fF])*", re.ASCII)
_BY_PATH: Final = ("memory", "chroma", "file", "postgresql+embedded")
_SUSPECT: Final = re.compile(r"[:/].*@|(?:password|passwd|pwd|token|secret|key)=", re.IGNORECASE | re.DOTALL)
"""In what should be a path: a mistyped URL of a server."""
_MIRROR: Final = ("primary", "secondary", "journal", "sample")


def shown_url(url: str) -> str:
    """The URL without what may be a secret, to be shown and not to be opened.

    Of a path all is shown. Of a server: scheme, user, host, port, database, and options that say no more than that.
    """
    scheme, colon, rest = url.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        return HIDDEN
    if scheme == "mirror":
        return f"mirror:{_mirror(rest)}"
    if scheme in _BY_PATH:
        return f"{scheme}:{_path(rest)}"
    found = _SERVER.fullmatch(rest)
    if found is None:
        return f"{scheme}:{'//' if rest.startswith('//') else ''}{HIDDEN}"
    user = f"{found['user']}@" if found["user"] and scheme.startswith("postgres") else ""  # elsewhere it is a token
    given = [option for option in (found["options"] or "").split("&") if option]
    told = [option for option in given if _SHOWN_OPTION.fullmatch(option)]
    # An option that is not known may be the rest of a password, as may be what follows it.
    options = f"?{'&'.join(told)}" if told and told == given else f"?{HIDDEN}" if given else ""
    return f"{scheme}://{user}{found['place']}{options}"


def shown_scheme(url: str) -> str | None:
    """The scheme alone; None if there is nothing that can be one."""
    scheme, colon, _ = url.partition(":")
    return f"{scheme}:" if colon and _SCHEME.fullmatch(scheme) else None


def _path(path: str) -> str:
    return HIDDEN if _SUSPECT.search(path) else path


def _mirror(rest: str) -> str:
    """The URLs within a mirror's, each percent-encoded as a whole; if they are not, nothing says where one ends."""
    pairs = [part.partition("=") for part in rest.removeprefix("?").split("&")]
    names = [name for name, _, _ in pairs]
    if not rest.startswith("?") or len(set(names)) < len(names) or not set(names) <= set(_MIRROR):
        return HIDDEN
    urls = ("primary", "secondary")
    return "?" + "&".join(
        f"{name}={shown_url(unquote(value)) if name in urls else _path(unquote(value))}" for name, _, value in pairs
    )
