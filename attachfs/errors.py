"""Every error that attachfs raises on purpose, each with the errno the kernel is told.

    AttachfsError                     EIO
    |- NotFound                       ENOENT        404, 410, impossible names
    |- Stale                          ESTALE        an open file whose attachment has gone
    |- Denied                         EACCES        403
    |  |- Unauthenticated             EACCES        401 after one renewal of the token
    |  `- BlockedByScan               EACCES        the scan policy forbids these bytes
    |- TimedOut                       ETIMEDOUT     no answer in time
    |  `- GatewayTimeout              ETIMEDOUT     408, 504, after retries
    |- Busy                           EBUSY         429 (EAGAIN would make readers spin)
    |- Interrupted                    EINTR         the caller was killed meanwhile
    |- Unreachable                    EHOSTUNREACH  a connection that broke, after retries
    |  |- NoConnection                EHOSTUNREACH  refused, no route, no TLS, no name
    |  `- Untrusted                   EHOSTUNREACH  a certificate that is not trusted
    |- BadReply                       EIO           not what the contract says, other 4xx
    |  `- ServerFault                 EIO           500, after retries
    |     `- Unavailable              EIO           502, 503, after retries
    |- Mismatch                       EIO           length or SHA-256 is not what was recorded
    |- ReadOnly                       EROFS         every write
    |- IsADirectory                   EISDIR
    |- NotADirectory                  ENOTDIR
    |- NoSuchXattr                    ENODATA
    |- XattrUnsupported               EOPNOTSUPP    namespaces that are not ours
    |- Unsupported                    ENOSYS        operations the kernel need not ask for again
    |- Closing                        ENOTCONN      the mount is being taken down
    `- SetupError                     EINVAL        a mistake of the user; carries an exit code
       |- UsageError                  2
       |- BadConfiguration            3
       |- MountpointMissing           10
       |- MountpointNotEmpty          11
       |- AlreadyMounted              12
       |- NotMounted                  13
       |- MountpointBusy             14
       |- MountTrouble                15
       |  `- MountHung                15
       |- NoCredentials               20
       |- CredentialsExposed          21
       |- CredentialsUnusable         22
       |- TokenRefused                23
       |- WrongUrl                    30
       |- ServerUnreachable           31
       |- ServerTrouble               32
       |- NoFuseDevice                40
       |- NoFusermount                41
       |- MountFailed                 42
       |- CacheUnusable               43
       `- DemoUnavailable             50

No other module names an errno: the mapping of HTTP and transport failures to these classes is
`attachfs.archive.faults`, and the one place that hands `errno` to the kernel is
`attachfs.mount.guard`.
"""

import errno
from typing import ClassVar, Final

from attachfs.escaping import escaped

# What the disk says when it takes nothing more, whoever asks.
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# What this machine says when it has no more of them: a server has nothing to do with it.
NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})

# As `logging` has them: importing it took 5 ms of the 120 that `attachfs --help` takes.
_DEBUG: Final = 10
_WARNING: Final = 30
_ERROR: Final = 40


class AttachfsError(Exception):
    """Carry what went wrong, for people, and an errno, for the kernel.

    The message is one printable line of bounded length, whatever it quotes: it is printed, logged
    and reported by many.
    """

    errno: ClassVar[int] = errno.EIO
    log_level: ClassVar[int] = _WARNING
    # Latched errors are raised again for each retry of the kernel's, and logged but once.
    logged: bool = False
    # What the server's failures in a row have in common, where it is one of them.
    incident: "Incident | None" = None

    def __init__(self, message: str = "") -> None:
        super().__init__(escaped(message))


class Incident:
    """Stand for all failures of a server until it answers again: they are told of once."""

    def __init__(self) -> None:
        self.told = False
        self.untold = 0

    def tell(self) -> bool:
        """Tell whether this failure is the one to log; the others are counted as `untold`."""
        if self.told:
            self.untold += 1
            return False
        self.told = True
        return True


class NotFound(AttachfsError):
    """Say that there is no such thing, or none that this token may know of."""

    errno = errno.ENOENT
    log_level = _DEBUG


class Stale(AttachfsError):
    """Say that an open file is no longer what it was when it was opened."""

    errno = errno.ESTALE


class Denied(AttachfsError):
    """Say that the server does not let this token do this (403)."""

    errno = errno.EACCES


class Unauthenticated(Denied):
    """Say that the server does not accept the token, not even a renewed one (401)."""


class BlockedByScan(Denied):
    """Say that the malware scan, or the want of one, forbids to hand out the bytes."""


class TimedOut(AttachfsError):
    """Say that no answer came in time."""

    errno = errno.ETIMEDOUT


class GatewayTimeout(TimedOut):
    """Say that the server did answer, but only that it took too long (408, 504)."""


class Busy(AttachfsError):
    """Say that the server limits our rate (429), also after waiting."""

    errno = errno.EBUSY

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Interrupted(AttachfsError):
    """Say that whoever asked was killed, or told to end, while it waited."""

    errno = errno.EINTR
    log_level = _DEBUG


class Unreachable(AttachfsError):
    """Say that the connection to the server broke."""

    errno = errno.EHOSTUNREACH


class NoConnection(Unreachable):
    """Say that no connection can be made: whatever is asked for, nobody is there to answer."""


class Untrusted(Unreachable):
    """Say that the server's certificate is not to be trusted, which passes only if it changes."""


class BadReply(AttachfsError):
    """Say that the server's answer is not what the contract promises."""


class ServerFault(BadReply):
    """Say that the server failed over this request (500); asking again may help."""


class Unavailable(ServerFault):
    """Say that the server is in no state to answer whatever is asked for (502, 503)."""


class Mismatch(AttachfsError):
    """Say that bytes, record and `/info` do not agree.

    `digests` holds every SHA-256 known, by where it was found (record, info, body).
    """

    log_level = _ERROR

    def __init__(self, message: str, *, digests: dict[str, str]) -> None:
        super().__init__(message)
        self.digests = digests


class ReadOnly(AttachfsError):
    """Refuse to change anything."""

    errno = errno.EROFS
    log_level = _DEBUG


class IsADirectory(AttachfsError):
    """Refuse to read a directory as a file."""

    errno = errno.EISDIR
    log_level = _DEBUG


class NotADirectory(AttachfsError):
    """Refuse to look for names in a file."""

    errno = errno.ENOTDIR
    log_level = _DEBUG


class NoSuchXattr(AttachfsError):
    """Say that a file has no such extended attribute."""

    errno = errno.ENODATA
    log_level = _DEBUG


class XattrUnsupported(AttachfsError):
    """Say that extended attributes of this namespace do not exist here."""

    errno = errno.EOPNOTSUPP
    log_level = _DEBUG


class Unsupported(AttachfsError):
    """Say that an operation is not offered: the kernel need not ask for it again."""

    errno = errno.ENOSYS
    log_level = _DEBUG


class Closing(AttachfsError):
    """Refuse a request because the mount is being taken down."""

    errno = errno.ENOTCONN
    log_level = _DEBUG


class SetupError(AttachfsError):
    """Say in one sentence what the user can do; the command line exits with `exit_code`."""

    errno = errno.EINVAL
    exit_code: ClassVar[int] = 1


class UsageError(SetupError):
    """Refuse options that contradict one another or make no sense."""

    exit_code = 2


class BadConfiguration(SetupError):
    """Refuse a configuration file that cannot be read, or says what makes no sense."""

    exit_code = 3


class MountpointMissing(SetupError):
    """Refuse a mount point that is not a directory."""

    exit_code = 10


class MountpointNotEmpty(SetupError):
    """Refuse a mount point whose files the mount would hide."""

    exit_code = 11


class AlreadyMounted(SetupError):
    """Refuse to mount over another mount."""

    exit_code = 12


class NotMounted(SetupError):
    """Refuse to unmount what attachfs did not mount."""

    exit_code = 13


class MountpointBusy(SetupError):
    """Say that programs still use the mount."""

    exit_code = 14


class MountTrouble(SetupError):
    """Say that a mount does not answer another command, or cannot do what it asks."""

    exit_code = 15


class MountHung(MountTrouble):
    """Say that the process of a mount lives and does not answer."""


class NoCredentials(SetupError):
    """Say that nothing was given to authenticate with."""

    exit_code = 20


class CredentialsExposed(SetupError):
    """Refuse a credentials file that other users can read."""

    exit_code = 21


class CredentialsUnusable(SetupError):
    """Say that a credentials file is missing, unreadable or holds no token."""

    exit_code = 22


class TokenRefused(SetupError):
    """Say that the server does not accept the credentials."""

    exit_code = 23


class WrongUrl(SetupError):
    """Say that the URL is none, or something else answers there."""

    exit_code = 30


class ServerUnreachable(SetupError):
    """Say that nothing answers at the URL."""

    exit_code = 31


class ServerTrouble(SetupError):
    """Say that the server answers with errors only."""

    exit_code = 32


class NoFuseDevice(SetupError):
    """Say that the kernel offers no /dev/fuse, or not to us."""

    exit_code = 40


class NoFusermount(SetupError):
    """Say that the program fusermount3 is not installed."""

    exit_code = 41


class MountFailed(SetupError):
    """Say that the kernel or libfuse refused the mount."""

    exit_code = 42


class CacheUnusable(SetupError):
    """Refuse a cache directory that is not ours to write."""

    exit_code = 43


class DemoUnavailable(SetupError):
    """Say that the embedded archive cannot run."""

    exit_code = 50


class ClusterTrouble(SetupError):
    """Say that there is no cluster, or no more of it, to work on."""

    exit_code = 51


def first_cause(error: BaseException) -> BaseException:
    """Return the error inside groups, as nurseries make them: the only one, or the first of ours.

    Where there are others than ours among several, it is `error` itself.
    """
    while isinstance(error, BaseExceptionGroup):
        _, others = error.split(AttachfsError)
        if others is not None and len(error.exceptions) > 1:
            break
        error = error.exceptions[0]
    return error
