"""What a kubeconfig keeps secret is in no argument, no output and no file, also of a process that is killed."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import ROOT
from tests.kube.fake import TLS, Fake

TOKEN = "SECRET-of-the-token"
KEY = (TLS / "client.pem").read_bytes()
# Of the key's own lines, one that nothing else holds.
KEY_LINE = next(line for line in KEY.decode().splitlines() if not line.startswith("-"))
PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "sh",
    "interactiveMode": "Never",
    "args": ["-c", 'echo "logging in" >&2; cat "$ANSWER"'],
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def _start(folder: Path, server: str, user: dict[str, object], *words: str) -> subprocess.Popen[str]:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": user}],
    }
    (folder / "kubeconfig").write_text(json.dumps(document))
    (folder / "temporary").mkdir(exist_ok=True)
    environment = {**os.environ, "NO_PROXY": "*", "TMPDIR": str(folder / "temporary"), "ANSWER": str(folder / "answer")}
    argv = [sys.executable, "-m", "kubectl_vxtrace", *words, "-v", "--kubeconfig", str(folder / "kubeconfig")]
    return subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _users(folder: Path) -> dict[str, dict[str, object]]:
    pem = base64.b64encode(KEY).decode()
    status = {"token": TOKEN, "clientCertificateData": KEY.decode(), "clientKeyData": KEY.decode()}
    (folder / "answer").write_text(json.dumps({"apiVersion": PLUGIN["apiVersion"], "kind": "ExecCredential", "status": status}))
    return {
        "token": {"token": TOKEN},
        "key": {"client-certificate-data": pem, "client-key-data": pem},
        "both": {"token": TOKEN, "client-certificate-data": pem, "client-key-data": pem},
        "plugin": {"exec": PLUGIN},
    }


def _arguments() -> str:
    """Of all processes that there are."""
    found = ""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += place.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
    return found


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("name", ["both", "plugin"])
def test_a_process_that_is_killed_leaves_no_file_and_tells_nobody(name: str, silent: str, tmp_path: Path) -> None:
    process = _start(tmp_path, silent, _users(tmp_path)[name], "version")
    assert process.stderr is not None
    for line in process.stderr:
        if "asking" in line:
            break
    time.sleep(0.2)
    arguments = _arguments()
    process.kill()
    stdout, stderr = process.communicate()
    assert "kubectl_vxtrace" in arguments
    for secret in (TOKEN, KEY_LINE):
        assert secret not in arguments
        assert secret not in stdout + stderr
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("token", [f"{TOKEN}\nmore", f"{TOKEN}\u00e9", f"{TOKEN}\x00"])
def test_a_token_that_cannot_be_sent_is_not_quoted(token: str, tmp_path: Path) -> None:
    with Fake() as fake:
        stdout, stderr = _start(tmp_path, fake.url, {"token": token}, "cleanup").communicate(timeout=60)
    assert "error: the credentials' token holds characters that a token cannot have" in stderr
    assert TOKEN not in stdout + stderr


@pytest.mark.parametrize("command", [["version"], ["cleanup"], ["check"], ["pod", "web", "--to", "api"]])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_nothing_secret_is_said(command: list[str], status: int, tmp_path: Path) -> None:
    """Whatever the server answers; what it echoes is its own affair, and it knows no key."""
    with Fake() as fake:
        fake.replies["GET", "/version"] = [(status, {"gitVersion": "v1"}, {})] * 5
        if status != 200:
            fake.replies["GET", "/api/v1/namespaces/default/pods"] = [(status, {"message": "no"}, {})] * 20
        process = _start(tmp_path, fake.url, _users(tmp_path)["both"], *command)
        stdout, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    assert TOKEN not in stdout + stderr
    assert KEY_LINE not in stdout + stderr
    assert list((tmp_path / "temporary").iterdir()) == []
