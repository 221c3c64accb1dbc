"""Where a bundle goes, and in which form: what `--bundle` says."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from kubectl_vxtrace.errors import UsageError

STDOUT: Final = "-"
_TGZ: Final = (".tgz", ".tar.gz")


class Form(StrEnum):
    """What a bundle is written as: a value is the suffix of a name of its own."""

    ZIP = ".zip"
    TGZ = ".tgz"
    FOLDER = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a bundle goes. `place` is its file, or, with `inside`, the folder in which it gets a name of its own; None for stdout."""

    form: Form
    place: Path | None
    inside: bool = False

    def path(self, name: str) -> Path | None:
        """The bundle's own path, where `name` is the name of its own; None for stdout."""
        return self.place / f"{name}{self.form}" if self.inside and self.place is not None else self.place

    def check(self) -> None:
        """Refuse, before anything is made, what could not be written in the end.

        Raises:
            UsageError: the file exists, or no file can be made in its folder.
        """
        if self.place is None:
            return
        if not self.inside and self.place.exists():
            raise UsageError(f"{self.place} exists already", "name another file with --bundle")
        folder = self.place if self.inside else self.place.parent
        if self.form is Form.FOLDER:  # which is made with all folders above it
            folder = next(above for above in (folder, *folder.absolute().parents) if above.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"no bundle can be written in {folder.absolute()}", "name another place with --bundle, or --bundle none")


def destination(text: str | None) -> Destination:
    """What `--bundle` says: `FILE.zip`, `FILE.tgz` or `.tar.gz`, `DIR/` for a folder in it, `-` for a zip on stdout.

    A directory that exists needs no slash, any other name is a zip's. Without a value it is a zip with a name of its own in the current
    directory.
    """
    if text is None:
        return Destination(form=Form.ZIP, place=Path.cwd(), inside=True)
    if text == STDOUT:
        return Destination(form=Form.ZIP, place=None)
    if text.endswith(os.sep) or Path(text).is_dir():
        return Destination(form=Form.FOLDER, place=Path(text), inside=True)
    return Destination(form=Form.TGZ if text.lower().endswith(_TGZ) else Form.ZIP, place=Path(text))
