"""The first process of a node: collects the dead, and when it ends the kernel ends all others (pid_namespaces(7))."""

import os
import signal
import sys


def _end(*_: object) -> None:
    sys.exit(0)


def main() -> None:
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass  # none at the moment
        signal.sigtimedwait({signal.SIGCHLD}, 5)


if __name__ == "__main__":
    main()
