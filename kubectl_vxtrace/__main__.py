"""`python -m kubectl_vxtrace` and the console script."""

import os
import sys
from collections.abc import MutableMapping

_STDERR = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; exits the process."""
    if getattr(sys, "frozen", False):
        restore_library_path(os.environ)
    try:
        occupy_streams()
        from kubectl_vxtrace import console, signals

        signals.guard()
        console.guard()
        from kubectl_vxtrace.cli import run

        run()
    except KeyboardInterrupt:  # before anything was done, or when all was
        os._exit(_INTERRUPTED)


def occupy_streams() -> None:
    """Let no file that is opened from now on be stdin, stdout or stderr where the process was started without them: what is said on stderr
    would be written into it."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= _STDERR:
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def restore_library_path(environment: MutableMapping[str, str]) -> None:
    """Give children the library path that the user had.

    The packed program is started with one that leads to its own libraries, with which the system's tshark and credential plugins may not
    run (PyInstaller manual, "LD_LIBRARY_PATH / LIBPATH considerations"). This process itself has read it already (ld.so(8)).
    """
    users = environment.pop("LD_LIBRARY_PATH_ORIG", None)
    if users is None:
        environment.pop("LD_LIBRARY_PATH", None)
    else:
        environment["LD_LIBRARY_PATH"] = users


if __name__ == "__main__":
    main()
