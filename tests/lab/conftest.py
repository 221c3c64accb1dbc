"""An API server over node namespaces of its own: the names are not those of the lab, so that a lab may be up beside it."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.datapath import records, shape
from tests.datapath.records import Lab
from tests.lab import apiserver
from tests.lab.control import CONTROL_FILE, USERS_FILE

# Else the API is there all the same, and only tests that are marked `root` miss the nodes.
MAKES_NODES = sys.platform.startswith("linux") and os.geteuid() == 0 and shutil.which("ip") is not None

Control = Callable[..., None]


def own_lab(state_dir: Path, prefix: str) -> Lab:
    """The records of the usual lab, but its network namespaces have names of our own."""
    lab = shape.lab("calico", 3, str(state_dir))
    nodes = tuple(dataclasses.replace(node, netns=prefix + node.name) for node in lab.nodes)
    pods = tuple(dataclasses.replace(pod, netns=pod.netns and prefix + pod.netns) for pod in lab.pods)
    return dataclasses.replace(lab, nodes=nodes, pods=pods)


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three nodes with a NIC each (a veth pair wholly inside the node), the API server over them."""
    prefix = f"la-{os.getpid()}-"
    found = own_lab(tmp_path_factory.mktemp("state"), prefix)
    names = [node.netns for node in found.nodes] + [f"{prefix}pod-{shape.CLIENT[1]}"]
    made: list[str] = []
    try:
        for name in names if MAKES_NODES else ():
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "add", "ens4", "up", "type", "veth", "peer", "name", "wire")
            _ip("-n", name, "link", "set", "wire", "up")
            _ip("-n", name, "address", "add", "192.0.2.1/24", "dev", "ens4")
        apiserver.start(found)
        yield found
    finally:
        apiserver.stop(Path(found.state_dir))
        for name in made:
            _ip("netns", "delete", name)


@pytest.fixture
def state(lab: Lab) -> Path:
    """The state directory."""
    return Path(lab.state_dir)


@pytest.fixture
def kubeconfig(state: Path) -> str:
    """The path of the server's kubeconfig."""
    return str(state / apiserver.KUBECONFIG)


@pytest.fixture
def faults(state: Path) -> Iterator[Control]:
    """Writes control.json; it is removed after the test."""

    def write(**values: Any) -> None:
        records.write_json(state / CONTROL_FILE, values)

    yield write
    (state / CONTROL_FILE).unlink(missing_ok=True)


@pytest.fixture
def users(state: Path) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Writes users.json; it is removed after the test."""

    def write(entries: list[dict[str, Any]]) -> None:
        records.write_json(state / USERS_FILE, entries)

    yield write
    (state / USERS_FILE).unlink(missing_ok=True)
