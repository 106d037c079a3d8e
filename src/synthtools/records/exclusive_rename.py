"""A rename that never overwrites."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# Of renameat2, for paths as they are.
_AT_FDCWD, _NOREPLACE = -100, 1


def rename_new(source: Path, target: Path) -> None:
    """Renames a file or directory to a name that must not exist; checked atomically.

    Raises:
        FileExistsError: the name exists; nothing was overwritten.
        OSError
    """
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # not Linux
        number = errno.ENOSYS
    else:
        names = os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NOREPLACE
        if not rename(_AT_FDCWD, *names):
            return
        number = ctypes.get_errno()
    if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))
    # Kernels and file systems (NFS) without renameat2.
    try:
        os.link(source, target)
        os.unlink(source)
    except FileExistsError:
        raise
    except OSError:  # directories, and file systems without hard links
        if os.path.lexists(target):
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target)
            ) from None
        os.rename(source, target)
