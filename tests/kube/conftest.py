from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace.kube.connection import Connection
from tests.kube.fake import Fake


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the machine that runs the tests has no part in them."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        yield server


@pytest.fixture
def connection(fake: Fake, tmp_path: Path) -> Connection:
    return fake.connection(tmp_path)
