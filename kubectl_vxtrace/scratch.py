"""Folders of this run among the system's temporary files: private, locked while it lives, and swept by a later run if it was killed."""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kubectl_vxtrace import portable

_PREFIX = "vxtrace-"
_MADE, _LOCKED, _KEPT = ".new", ".run", "-recorded"
"""What its name ends with: a folder is made, locked, which takes no time, and only then has the name that is swept as soon as nobody holds
the lock. One that is kept, or cannot be locked, is never swept."""
_MADE_S = 60.0
"""So old is no folder that is still to be locked."""


class Scratch:
    """A folder that only this user may enter; its lock ends with the process, however that ends.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self) -> None:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_MADE))
        self._lock = _locked(made)
        self.path = made.rename(made.with_name(made.name.removesuffix(_MADE) + (_LOCKED if self._lock is not None else "")))

    def remove(self) -> None:
        """Remove it with all that is in it; what cannot be removed is left to a later run."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def keep(self) -> Path:
        """Leave it to the user, under a name that no run sweeps; its path."""
        kept = self.path.with_name(self.path.name.removesuffix(_LOCKED).removesuffix(_KEPT) + _KEPT)
        with suppress(OSError):
            self.path = self.path.rename(kept)
        self._unlock()
        return self.path

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is removed at the end of the block. Raises OSError where it cannot be made."""
    made = Scratch()
    try:
        yield made.path
    finally:
        made.remove()


def sweep() -> int:
    """Remove folders of runs that were killed; how many.

    Only those of our name and user whose lock nobody holds. Never raises: that this fails is no reason not to run.
    """
    swept = 0
    with suppress(OSError):
        for place in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
            if place.suffix in (_MADE, _LOCKED):
                with suppress(OSError):
                    swept += _sweep(place)
    return swept


def _sweep(place: Path) -> bool:
    """Whether a folder was a dead run's, and was removed."""
    if not shutil.rmtree.avoids_symlink_attacks:
        return False
    said = place.lstat()
    if not stat.S_ISDIR(said.st_mode) or not portable.is_ours(said):
        return False
    if place.suffix == _MADE and time.time() - said.st_ctime < _MADE_S:
        return False
    lock = _locked(place)
    if lock is None:
        return False
    try:
        shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(lock)
    return not place.exists()


def _locked(place: Path) -> int | None:
    """The descriptor that holds a folder's lock; None where another process holds it, or there are no locks. A link is not followed."""
    try:
        descriptor = portable.open_folder(place)
    except OSError:
        return None
    try:
        portable.lock(descriptor)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
