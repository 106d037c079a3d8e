"""A rename that replaces nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# Of renameat2, for paths as they are.
_AT_FDCWD, _NOREPLACE = -100, 1


def rename_new(source: Path, target: Path) -> None:
    """Renames a file or directory to a name that must be free, and stays so until the very moment.

    Raises:
        FileExistsError: it is not; nothing was replaced.
        OSError
    """
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # no Linux
        number = errno.ENOSYS
    else:
        names = os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NOREPLACE
        if not rename(_AT_FDCWD, *names):
            return
        number = ctypes.get_errno()
    if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))
    # A kernel or a file system (NFS) without it.
    try:
        os.link(source, target)
        os.unlink(source)
    except FileExistsError:
        raise
    except OSError:  # no links to directories, nor on some file systems
        if os.path.lexists(target):
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target)
            ) from None
        os.rename(source, target)
