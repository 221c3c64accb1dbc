"""`completion`: a shell's script, or the program that kubectl's own completion asks."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.flags.values import CompletionShell

PLUGIN = "kubectl-vxtrace"
SHIM = "kubectl_complete-vxtrace"
_OURS = "# Written by `kubectl vxtrace completion install`"


def run(shell: CompletionShell) -> None:
    """Print the script of `shell`, or install kubectl's and say where.

    Raises:
        UsageError: a file of somebody else's stands where it would be.
        CannotRunError: there is no place for it.
    """
    if shell is not CompletionShell.INSTALL:
        stdout.write(_script(f"{shell.value}.sh"))
        return
    path, was_there = install()
    stdout.write(f"{path} {'is there already' if was_there else 'was written'}\n")


def install() -> tuple[Path, bool]:
    """Write kubectl's program beside the plugin, or where else on the PATH it can be; returns its path, and whether it was there already.

    Raises:
        UsageError: a file of somebody else's stands there; it is not touched.
        CannotRunError: none of the places can be written to.
    """
    present = shutil.which(SHIM)
    if present is not None:
        return Path(present), not _written(Path(present))
    refused: list[str] = []
    for folder in _places():
        try:
            return folder / SHIM, not _written(folder / SHIM)
        except OSError as error:
            refused.append(f"  {folder}: {error.strerror}")
    raise CannotRunError(
        f"{SHIM} has no place:\n" + "\n".join(refused) if refused else f"{PLUGIN} is not on the PATH",
        f"put a folder of yours on the PATH, {Path('~/.local/bin').expanduser()} for example; docs/completion.md has it by hand",
    )


def _places() -> Iterator[Path]:
    """Folders of the PATH where it may stand: the plugin's own, then those of the user's home."""
    beside = shutil.which(PLUGIN)
    if beside is not None:
        yield Path(beside).parent
    home = Path.home()
    for name in dict.fromkeys(os.get_exec_path()):
        folder = Path(name)
        if folder.is_dir() and folder.is_relative_to(home) and (beside is None or folder != Path(beside).parent):
            yield folder


def _written(path: Path) -> bool:
    """Write it, whole or not at all; False where the same stands there already. Raises OSError, UsageError."""
    script = _script(f"{SHIM}.sh")
    try:
        there = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        there = None
    if there == script and os.access(path, os.X_OK):
        return False
    if there is not None and _OURS not in there:
        raise UsageError(f"{path} is not ours, and is not touched", "remove it if nothing needs it, and try again")
    descriptor, name = tempfile.mkstemp(prefix=f".{SHIM}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(script)
        Path(name).chmod(0o755)
        if there is None:
            os.link(name, path)  # fails where a file has come there meanwhile
        else:
            Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return True


def _script(name: str) -> str:
    return (files("kubectl_vxtrace") / "commands" / "shells" / name).read_text(encoding="utf-8")
