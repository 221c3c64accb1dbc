"""`python -m kubectl_vxtrace` and the console script."""

import os
import sys
from collections.abc import MutableMapping


def main() -> None:
    """Run the command line; exits the process."""
    if getattr(sys, "frozen", False):
        restore_library_path(os.environ)
    from kubectl_vxtrace.cli import run

    run()


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
