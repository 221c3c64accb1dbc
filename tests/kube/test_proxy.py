"""The API through an HTTP proxy, REST and exec alike."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace.kube.config import connect, server_version
from kubectl_vxtrace.kube.exec import ExecLimits, execute
from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.request import Access
from tests.kube.fake import Fake
from tests.kube.tunnel import Tunnels

LIMITS = ExecLimits(timeout_s=5, max_bytes=10)


@pytest.fixture
def proxy() -> Iterator[Tunnels]:
    with Tunnels() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def access(fake: Fake, folder: Path, url: str | None) -> Access:
    return Access(kubeconfig=str(fake.kubeconfig(folder, cluster={"proxy-url": url} if url else None)))


def test_the_kubeconfigs_proxy_carries_rest_and_exec(proxy: Tunnels, tmp_path: Path) -> None:
    with Fake(tls=True) as fake:
        url = f"http://ann:s%20t@127.0.0.1:{proxy.server_address[1]}"
        connection = connect(access(fake, tmp_path, url), environ={})
        fake.replies["GET", "/version"] = [(200, {"gitVersion": "v1"}, {})]
        assert server_version(connection) == "v1"
        assert execute(connection, "ns", "pod", ("echo", "x"), limits=LIMITS).stdout == b"x\n"
    assert [asked.split()[:2] for asked in proxy.asked] == [["CONNECT", fake.url.removeprefix("https://")]] * 2
    assert all("proxy-authorization: basic yw5uonmgda==" in asked.lower() for asked in proxy.asked)


def test_no_proxy_is_honoured_by_exec(proxy: Tunnels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    with Fake(tls=True) as fake:
        execute(connect(access(fake, tmp_path, None), environ={}), "ns", "pod", ("true",), limits=LIMITS)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        execute(connect(access(fake, tmp_path, None), environ={}), "ns", "pod", ("true",), limits=LIMITS)
        assert len(proxy.asked) == 1


def test_a_proxy_that_exec_cannot_use_is_named(tmp_path: Path) -> None:
    with Fake(tls=True) as fake:
        connection = connect(access(fake, tmp_path, "https://127.0.0.1:1"), environ={})
        with pytest.raises(ApiError, match="proxy of type https"):
            execute(connection, "ns", "pod", ("true",), limits=LIMITS)
