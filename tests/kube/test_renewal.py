"""A server that does not take credentials any more is asked once more with new ones, as kubectl does."""

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.kube.config import connect, server_version
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.exec import ExecLimits, execute
from kubectl_vxtrace.kube.handshake import Patience
from kubectl_vxtrace.kube.removal import Doomed, remove
from kubectl_vxtrace.kube.rest import Api, ApiError
from kubectl_vxtrace.model.request import Access
from tests.kube.fake import Fake

Answer = tuple[int, Any, dict[str, str]]
REFUSED: Answer = (401, {"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized", "code": 401}, {})
VERSION: Answer = (200, {"gitVersion": "v1.34.4"}, {})
EXEC = "/api/v1/namespaces/ns/pods/pod/exec"


def by_plugin(fake: Fake, folder: Path) -> Connection:
    """Whose plugin gives another token each time."""
    program = folder / "plugin"
    answer = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t-N"}})
    program.write_text(f"#!/bin/sh\necho x >> {folder}/runs\necho '{answer}' | sed s/N/$(wc -l < {folder}/runs)/\n")
    program.chmod(0o700)
    spec = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    return connect(Access(kubeconfig=str(fake.kubeconfig(folder, user={"exec": spec}))), environ={})


def by_file(fake: Fake, folder: Path) -> Connection:
    (folder / "token").write_text("t-1")
    connection = connect(Access(kubeconfig=str(fake.kubeconfig(folder, user={"tokenFile": str(folder / "token")}))), environ={})
    (folder / "token").write_text("t-2")
    return connection


def tokens(fake: Fake) -> list[str]:
    return [headers["authorization"] for _, _, headers, _ in fake.seen]


@pytest.mark.parametrize("made", [by_plugin, by_file])
def test_a_request_goes_on_with_new_credentials(fake: Fake, tmp_path: Path, made: Any) -> None:
    connection = made(fake, tmp_path)
    fake.replies["GET", "/version"] = [REFUSED, VERSION]
    assert server_version(connection) == "v1.34.4"
    assert tokens(fake) == ["Bearer t-1", "Bearer t-2"]


@pytest.mark.parametrize("made", [by_plugin, by_file])
def test_so_does_an_exec(fake: Fake, tmp_path: Path, made: Any) -> None:
    connection = made(fake, tmp_path)
    fake.replies["GET", EXEC] = [REFUSED]
    result = execute(connection, "ns", "pod", ("echo", "x"), limits=ExecLimits(timeout_s=5, max_bytes=100))
    assert result.stdout == b"x\n"
    assert tokens(fake) == ["Bearer t-1", "Bearer t-2"]


def test_it_is_tried_once(fake: Fake, tmp_path: Path) -> None:
    connection = by_plugin(fake, tmp_path)
    fake.replies["GET", "/version"] = [REFUSED] * 5
    with Api(connection) as api, pytest.raises(ApiError, match="Unauthorized"):
        api.get("/version")
    assert tokens(fake) == ["Bearer t-1", "Bearer t-2"]


def lame(folder: Path, failures: int) -> None:
    """Let the plugin fail so often from now on."""
    program = folder / "plugin"
    first, rest = program.read_text().split("\n", 1)
    count = f"n=$(cat {folder}/fails 2>/dev/null || echo {failures}); if [ $n -gt 0 ]; then echo $((n - 1)) >{folder}/fails; exit 7; fi"
    program.write_text(f"{first}\n{count}\n{rest}")


def test_what_gives_credentials_may_be_away_with_the_api(fake: Fake, tmp_path: Path) -> None:
    connection = by_plugin(fake, tmp_path)
    fake.replies["GET", EXEC] = [REFUSED] * 3
    lame(tmp_path, 2)
    limits = ExecLimits(timeout_s=5, max_bytes=100)
    assert execute(connection, "ns", "pod", ("echo", "x"), limits=limits, patience=Patience(bound_s=20)).stdout == b"x\n"


def test_removal_waits_for_credentials(fake: Fake, tmp_path: Path) -> None:
    connection = by_plugin(fake, tmp_path)
    fake.replies["DELETE", "/api/v1/namespaces/default/pods/p"] = [REFUSED] * 2
    lame(tmp_path, 1)
    labels = {"app.kubernetes.io/managed-by": "kubectl-vxtrace"}
    fake.pods["p"] = {"metadata": {"name": "p", "uid": "u", "labels": labels}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    fake.born["p"] = 0.0
    assert remove(connection, [Doomed(namespace="default", name="p", uid="u")], bound_s=20) == ({("default", "p")}, set())


def test_why_there_are_none_is_said(fake: Fake, tmp_path: Path) -> None:
    connection = by_plugin(fake, tmp_path)
    fake.replies["GET", "/version"] = [REFUSED]
    lame(tmp_path, 9)
    with pytest.raises(CannotRunError, match="failed with exit code 7") as caught:
        server_version(connection)
    assert "log in again" in caught.value.hint


def test_a_token_of_the_kubeconfig_is_all_there_is(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", "/version"] = [REFUSED] * 5
    with Api(connection) as api, pytest.raises(ApiError, match="Unauthorized"):
        api.get("/version")
    assert tokens(fake) == ["Bearer sesame"]


def test_of_many_threads_one_asks_the_plugin(fake: Fake, tmp_path: Path) -> None:
    connection = by_plugin(fake, tmp_path)
    generation = connection.credentials.generation
    renewed: list[bool] = []
    threads = [Thread(target=lambda: renewed.append(connection.credentials.renew(generation))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert renewed == [True] * 5
    assert len((tmp_path / "runs").read_text().split()) == 2
