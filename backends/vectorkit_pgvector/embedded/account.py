"""The account of the operating system that the embedded server runs as, and those that it lets in.

It is the owner of the server's folder. PostgreSQL refuses to run as root, so a folder of root's is given to an account
that exists for this purpose only. Folders above the server's, or above its binaries, may be closed to that account (a
clone or an environment under ``/root``, say). They stay as they are: the server gets the capability to pass them
instead, and only then. Nobody can log in to the account or connect to the server but root, which has that power anyway;
a server that runs as a person never gets it.

Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERVER_USER = "vectorkit_postgres"

# linux/capability.h, linux/prctl.h, linux/securebits.h
_CAP_DAC_OVERRIDE = 1  # pass every permission check of files
_CAP_DAC_READ_SEARCH = 2  # the checks of reading, and of passing folders; containers seldom have it
_CAPABILITY_VERSION_3 = 0x20080522
_PR_GET_SECUREBITS, _PR_SET_SECUREBITS = 27, 28
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2


class Failure(Exception):
    """The server can't be had. `kind` is ``"permission"``, ``"version"`` or ``"unavailable"``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def owner_account(uid: int) -> pwd.struct_passwd:
    """The account for a server on a folder that belongs to `uid`: that user, or for root's the dedicated account.

    Raises:
        Failure: ``"permission"``: the user has no name, or the dedicated account can't be made.
    """
    try:
        return pwd.getpwuid(uid) if uid != 0 else pwd.getpwnam(SERVER_USER)
    except KeyError:
        if uid != 0:
            message = f"user id {uid} has no name on this system, and PostgreSQL needs one: add it to /etc/passwd"
            raise Failure("permission", message) from None
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SERVER_USER]
    reason = ""
    for _ in range(20):  # another process may be making it, and has the list of accounts locked
        try:
            reason = subprocess.run(command, capture_output=True, text=True).stderr.strip()
        except OSError as error:
            reason = str(error)
            break
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SERVER_USER)
        time.sleep(0.1)
    raise Failure(
        "permission",
        f"PostgreSQL does not run as root, and the system account {SERVER_USER!r} for it could not be made ({reason}): "
        f"run as an ordinary user, or make it with `{' '.join(command)}`",
    )


def become(account: pwd.struct_passwd, needed: Sequence[Path], *, programs: Sequence[Path]) -> None:
    """Turn this process, which has one thread, into one of `account`, for good.

    Args:
        account: The account; nothing happens if the process runs as it already.
        needed: Folders that must be passed and files that must be read.
        programs: Programs that must be executed; they must know the option ``-V``.

    Raises:
        Failure: ``"permission"``: something is closed to the account, and there is no capability to pass it.
        OSError: The account can't be taken on.
    """
    if os.geteuid() == account.pw_uid:
        return
    ways: list[int | None] = [None]
    if account.pw_name == SERVER_USER and sys.platform == "linux":
        ways += [_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE]  # the lesser power first
    for capability in ways:
        if _try(account, capability, needed, programs):
            _switch(account, capability)
            return
    _switch(account, None)
    name, closed = account.pw_name, _closed(needed, programs)
    raise Failure(
        "permission",
        f"{closed} is closed to {name!r}, the account that the server runs as, and this process has no capability to "
        "pass that on: choose folders for the data and the installation that this account reaches, open this one for "
        f"it with `setfacl -m u:{name}:rx {closed}`, or run as an ordinary user",
    )


def let_in_owners(data: Path) -> None:
    """Let the user of this process connect as any role, and root; nobody else.

    The kernel tells the server who connects (peer authentication). Root owns the machine anyway, and is who uses a
    server that runs as the dedicated account.

    Args:
        data: The data folder, of a server that is not running.
    """
    owners = {pwd.getpwuid(uid).pw_name for uid in (0, os.geteuid())} - {SERVER_USER}
    names = ['"{}"'.format(owner.replace('"', '""')) for owner in sorted(owners)]
    identities = "".join(f"owners {name} all\n" for name in names)
    for name, text in (("pg_hba.conf", "local all all peer map=owners\n"), ("pg_ident.conf", identities)):
        new = data / f"{name}.new"
        # The folder is the server's, whose user might have put a link there; readable to it, whoever makes the file.
        new.unlink(missing_ok=True)
        made = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(made, "w") as file:
            file.write(text)
        new.replace(data / name)


def _try(account: pwd.struct_passwd, capability: int | None, needed: Sequence[Path], programs: Sequence[Path]) -> bool:
    """Whether the account reaches everything, found out by a child that becomes it: no rule foresees all of ACLs."""
    child = os.fork()
    if child == 0:
        reached = False
        try:
            _switch(account, capability)
            reached = _closed(needed, programs) is None
        finally:
            os._exit(0 if reached else 1)
    return os.waitpid(child, 0)[1] == 0


def _closed(needed: Sequence[Path], programs: Sequence[Path]) -> Path | None:
    """The first of the paths, or of the folders above them, that this process is refused."""
    for path in (*needed, *programs):
        for step in (*reversed(path.parents), path):
            try:
                step.stat()
            except OSError:
                return step.parent
        try:
            if path in programs:
                subprocess.run([path, "-V"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            else:
                os.close(os.open(path, os.O_RDONLY))
        except (OSError, subprocess.CalledProcessError):
            return path
    return None


def _switch(account: pwd.struct_passwd, capability: int | None) -> None:
    if capability is not None:
        # Without this bit access(2), by which PostgreSQL finds its programs, ignores capabilities unless one is root.
        _prctl(_PR_SET_SECUREBITS, _prctl(_PR_GET_SECUREBITS) | _SECBIT_NO_SETUID_FIXUP)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if capability is not None:
        _keep_only(capability)


def _keep_only(capability: int) -> None:
    """Give up all capabilities but one, which the programs executed from here on keep (ambient)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; then capabilities > 31
    if ctypes.CDLL(None, use_errno=True).capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    answer = ctypes.CDLL(None, use_errno=True).prctl(ctypes.c_int(option), *padded)
    if not isinstance(answer, int) or answer < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return answer
