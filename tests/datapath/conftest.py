"""A lab of its own for the tests of its network: only where none is up, with its files in a temporary directory."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.datapath import lock, network, shape, tools
from tests.datapath.fault_record import ALL_BACKENDS
from tests.datapath.records import Lab

MakeLab = Callable[[str, int], AbstractContextManager[Lab]]


def why_no_lab() -> str | None:
    """Why no lab can be made here; None if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "the lab needs root on Linux"
    if missing := tools.missing_tools():
        return f"not installed: {', '.join(missing)}"
    wanted = {name for backend in ALL_BACKENDS for name in shape.lab(backend, shape.MAX_NODES, "").namespaces()}
    if taken := tools.namespaces() & wanted:
        return f"a lab is up, or namespaces of its names exist: {', '.join(sorted(taken))}"
    return None


@pytest.fixture(scope="session")
def make_lab(tmp_path_factory: pytest.TempPathFactory) -> MakeLab:
    """Makes a lab (backend, nodes) and takes it down again, under the machine's lock."""
    if reason := why_no_lab():
        pytest.skip(reason)

    @contextmanager
    def make(backend: str, nodes: int) -> Iterator[Lab]:
        directory: Path = tmp_path_factory.mktemp("lab")
        with lock.held():
            lab = shape.lab(backend, nodes, str(directory))
            try:
                network.make(lab)
                yield lab
            finally:
                network.remove(directory)

    return make
