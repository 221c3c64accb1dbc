"""A network namespace for tests that run the node scripts for real, and nodes that are such namespaces."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kubectl_vxtrace.model.cluster import AnswerStatus, FetchResult, NodeAnswer, NodeCommand

# `sh` of a node's image: Debian's, and Alpine's.
SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}
# What busybox brings itself in such an image.
APPLETS = ("sh", "cat", "date", "grep", "head", "kill", "mkdir", "setsid", "sha256sum", "sleep", "tail", "timeout", "tr", "wc")
DIRECTORY = "/capture"
TOOLS = ("ip", "tcpdump", "dash", "busybox", "setsid", "ping")


def missing() -> str | None:
    """Why namespaces cannot be used here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "network namespaces are not allowed here"


def run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


@contextmanager
def namespaces(*names: str) -> Iterator[None]:
    """Namespaces of these names; whatever still runs in them at the end is ended."""
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in names:
            for pid in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout.split():
                os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def wire(left: str, right: str) -> None:
    """`left` and `right` as 10.9.0.1 and 10.9.0.2 on a veth pair called eth0 in both."""
    run("ip", "-n", left, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", right)
    for name, address in ((left, "10.9.0.1/24"), (right, "10.9.0.2/24")):
        run("ip", "-n", name, "addr", "add", address, "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")


class NamespaceNodes:
    """Nodes that are network namespaces, each with a folder of its own as /capture, and `sh` being one of SHELLS.

    Under busybox its own tools come first, as in Alpine.
    """

    def __init__(self, shell: str, root: Path) -> None:
        self._shell = SHELLS[shell]
        self._root = root
        self._environment = dict(os.environ)
        if shell == "busybox":
            tools = root / "bin"
            tools.mkdir(exist_ok=True)
            for applet in APPLETS:
                (tools / applet).symlink_to(str(shutil.which("busybox")))
            self._environment["PATH"] = f"{tools}:{os.environ['PATH']}"

    def folder(self, node: str) -> Path:
        """What the node's captures see as /capture."""
        return self._root / node

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        with ThreadPoolExecutor(4) as pool:
            return tuple(pool.map(self.answer, commands))

    def answer(self, command: NodeCommand) -> NodeAnswer:
        assert command.argv[0] == "sh"
        folder = self.folder(command.node)
        sent_ns = time.time_ns()
        done = subprocess.run(
            ["ip", "netns", "exec", command.node, *self._shell, *(str(folder) if word == DIRECTORY else word for word in command.argv[1:])],
            capture_output=True,
            check=False,
            timeout=command.timeout_s,
            stdin=subprocess.DEVNULL,
            env=self._environment,
        )
        return NodeAnswer(
            command=command,
            status=AnswerStatus.OK if done.returncode == 0 else AnswerStatus.FAILED,
            exit_code=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
            sent_ns=sent_ns,
            received_ns=time.time_ns(),
        )

    def fetch(self, node: str, remote_path: str, *, size_bytes: int, sha256: str, max_bytes: int) -> FetchResult:
        raw = bytearray((self.folder(node) / Path(remote_path).relative_to(DIRECTORY)).read_bytes())
        same = len(raw) == size_bytes and hashlib.sha256(raw).hexdigest() == sha256 and len(raw) <= max_bytes
        return FetchResult(node=node, content=raw, sha256=sha256, reason=None if same else "it changed")
