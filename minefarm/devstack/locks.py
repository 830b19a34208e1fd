"""Kernel file locks: released by the kernel when the last holder dies, even by SIGKILL."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Self

from minefarm.devstack.errors import DevstackError
from minefarm.devstack.paths import unwritable


class FileLock:
    """One open lock file; a forked child shares the lock, an exec'd one only if it was passed on purpose."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        try:
            return cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise unwritable(path.parent, error) from error

    @classmethod
    def inherited(cls, path: Path, descriptor: int) -> Self:
        """Take over a descriptor, and its lock, that the parent process passed to us."""
        os.set_inheritable(descriptor, False)
        return cls(path, descriptor)

    def fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"the lock {self.path} is closed")
        return self._descriptor

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Give the lock back for every process that shares this open file."""
        fcntl.flock(self.fileno(), fcntl.LOCK_UN)

    def is_current(self) -> bool:
        """False when the file was deleted or replaced: a lock on it then excludes nobody."""
        try:
            named = self.path.stat()
        except OSError:
            return False
        held = os.fstat(self.fileno())
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def close(self) -> None:
        # Close, never LOCK_UN: a forked child that still works with the servers keeps its share.
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self.fileno(), operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise DevstackError(
                    f"The file system of {self.path.parent} has no file locks ({error.strerror}): "
                    "set MINEFARM_STATE_DIR to a folder on a local disk."
                ) from error
            raise
        return True
