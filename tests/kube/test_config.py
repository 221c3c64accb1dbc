import base64
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube import keyfiles, rest
from kubectl_vxtrace.kube.config import connect, server_version
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.exec import ExecLimits, execute
from kubectl_vxtrace.model.request import Access
from tests.kube.fake import TLS, Fake


def write(
    path: Path,
    *,
    current: str | None = None,
    names: tuple[str, ...] = ("a",),
    server: str = "https://{}.test",
    user: dict[str, Any] | None = None,
) -> Path:
    document: dict[str, Any] = {
        "clusters": [{"name": f"{name}-cluster", "cluster": {"server": server.format(name)}} for name in names],
        "users": [{"name": f"{name}-user", "user": user or {"token": f"{name}-token"}} for name in names],
        "contexts": [
            {"name": name, "context": {"cluster": f"{name}-cluster", "user": f"{name}-user", "namespace": f"{name}-ns"}} for name in names
        ],
    }
    if current:
        document["current-context"] = current
    path.write_text(json.dumps(document))
    return path


def plugin(tmp_path: Path, script: str, **more: Any) -> Access:
    program = tmp_path / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    spec = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "interactiveMode": "Never", **more}
    return Access(kubeconfig=str(write(tmp_path / "config", current="a", user={"exec": spec})))


def credential(**status: str) -> str:
    return json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})


def authorization(connection: Connection) -> str | None:
    return dict(connection.headers()).get("Authorization")


def test_current_context_and_namespace(tmp_path: Path) -> None:
    path = str(write(tmp_path / "config", current="a"))
    connection = connect(Access(kubeconfig=path), environ={})
    assert (connection.server, connection.namespace, connection.context, authorization(connection)) == (
        "https://a.test",
        "a-ns",
        "a",
        "Bearer a-token",
    )
    connection = connect(Access(kubeconfig=path, namespace="other"), environ={})
    assert (connection.namespace, connection.context_namespace) == ("other", "a-ns")


def test_several_files_the_first_current_context_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "one", names=("a",), current="b")
    second = write(tmp_path / "two", names=("a", "b"), current="a", server="https://second-{}.test")
    environ = {"KUBECONFIG": f"{first}:{tmp_path / 'missing'}::{second}"}
    assert connect(Access(), environ=environ).server == "https://second-b.test"
    assert connect(Access(context="a"), environ=environ).server == "https://a.test"


def test_cluster_and_user_override_the_context(tmp_path: Path) -> None:
    path = str(write(tmp_path / "config", names=("a", "b"), current="a"))
    connection = connect(Access(kubeconfig=path, cluster="b-cluster", user="b-user"), environ={})
    assert (connection.server, authorization(connection), connection.namespace) == ("https://b.test", "Bearer b-token", "a-ns")


@pytest.mark.parametrize(("flag", "known"), [("context", "a, b"), ("cluster", "a-cluster, b-cluster"), ("user", "a-user, b-user")])
def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path, flag: str, known: str) -> None:
    path = str(write(tmp_path / "config", names=("a", "b"), current="a"))
    wrong: dict[str, Any] = {flag: "nope"}
    with pytest.raises(UsageError) as caught:
        connect(Access(kubeconfig=path, **wrong), environ={})
    assert "nope" in caught.value.message
    assert known in caught.value.hint


def test_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="no kubeconfig"):
        connect(Access(), environ={"KUBECONFIG": str(tmp_path / "none")})
    with pytest.raises(UsageError, match="no file"):
        connect(Access(kubeconfig=str(tmp_path / "none")), environ={})


def test_no_current_context(tmp_path: Path) -> None:
    path = str(write(tmp_path / "config", names=("a", "b")))
    with pytest.raises(CannotRunError, match="no current context") as caught:
        connect(Access(kubeconfig=path), environ={})
    assert "a, b" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["[", "- a list", '{"clusters": [{"cluster": {}}]}', '{"clusters": {"a": 1}}', '{"users": [{"name": "x", "user": "text"}]}', "\x00"],
)
def test_broken_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CannotRunError, match="config"):
        connect(Access(kubeconfig=str(path)), environ={})


def test_broken_certificates(tmp_path: Path) -> None:
    for user in ({"client-certificate-data": "%%%"}, {"client-certificate": "none.pem"}, {"tokenFile": "none"}):
        path = write(tmp_path / "config", current="a", user=user)
        with pytest.raises(CannotRunError):
            connect(Access(kubeconfig=str(path)), environ={})


def test_token_file_is_relative_to_its_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    path = write(tmp_path / "config", current="a", user={"tokenFile": "token"})
    assert authorization(connect(Access(kubeconfig=str(path)), environ={})) == "Bearer secret"


def test_impersonation(tmp_path: Path) -> None:
    path = str(write(tmp_path / "config", current="a"))
    connection = connect(Access(kubeconfig=path, as_user="bob", as_groups=("x", "y")), environ={})
    assert connection.headers()[-3:] == (("Impersonate-User", "bob"), ("Impersonate-Group", "x"), ("Impersonate-Group", "y"))
    with pytest.raises(UsageError, match="--as"):
        connect(Access(kubeconfig=path, as_groups=("x",)), environ={})
    with pytest.raises(UsageError, match="line breaks"):
        connect(Access(kubeconfig=path, as_user="bob\r\nX: y"), environ={})
    user = {"token": "t", "as": "eve", "as-groups": ["g"], "as-uid": "7", "as-user-extra": {"k": ["v"]}}
    path = str(write(tmp_path / "config", current="a", user=user))
    names = [f"{name}={value}" for name, value in connect(Access(kubeconfig=path), environ={}).impersonation]
    assert names == ["Impersonate-User=eve", "Impersonate-Group=g", "Impersonate-Uid=7", "Impersonate-Extra-k=v"]


def test_a_user_of_any_script(fake: Fake, tmp_path: Path) -> None:
    """In the bytes that kubectl sends, in both kinds of request."""
    connection = fake.connection(tmp_path, as_user="\u041e\u043b\u044f", as_groups=("\u00e9quipe",))
    fake.replies["GET", "/version"] = [(200, {"gitVersion": "v1"}, {})]
    server_version(connection)
    execute(connection, "default", "vxtrace", ("true",), limits=ExecLimits(timeout_s=5, max_bytes=10))
    for _, _, headers, _ in fake.seen:
        assert headers["impersonate-user"].encode("latin-1").decode() == "\u041e\u043b\u044f"
        assert headers["impersonate-group"].encode("latin-1").decode() == "\u00e9quipe"
    assert len(fake.seen) == 2
    with pytest.raises(UsageError, match="UTF-8"):
        fake.connection(tmp_path, as_user="\udce9")


def test_plugin_token_and_renewal(tmp_path: Path) -> None:
    access = plugin(tmp_path, f"echo x >> {tmp_path}/runs; echo '{credential(token='t', expirationTimestamp='2020-01-01T00:00:00Z')}'")
    connection = connect(access, environ={})
    assert authorization(connection) == "Bearer t"
    assert (tmp_path / "runs").read_text() == "x\nx\n"  # it had expired when it came


def test_plugin_is_told_about_the_cluster(tmp_path: Path) -> None:
    access = plugin(
        tmp_path, f"printf %s \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/info; echo '{credential(token='t')}'", provideClusterInfo=True
    )
    connect(access, environ={})
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://a.test"}}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go, with nothing remembered of those that there are."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(keyfiles, "_NAMES", {})
    monkeypatch.setattr(keyfiles, "_folder", None)
    yield place
    if keyfiles._folder is not None:
        keyfiles._folder.remove()
        assert list(place.iterdir()) == []


def _with_key(tmp_path: Path) -> Access:
    pem = base64.b64encode((TLS / "client.pem").read_bytes()).decode()
    user = {"client-certificate-data": pem, "client-key-data": pem, "client-key": "/nonexistent"}
    return Access(kubeconfig=str(write(tmp_path / "config", current="a", user=user)))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memfd_create(2) is Linux's")
def test_keys_are_written_nowhere(tmp_path: Path, temporary: Path) -> None:
    connection = connect(_with_key(tmp_path), environ={})
    again = connect(_with_key(tmp_path), environ={})
    assert Path(connection.configuration.key_file or "").read_bytes() == (TLS / "client.pem").read_bytes()
    assert again.configuration.key_file == connection.configuration.key_file
    assert list(temporary.iterdir()) == []


def test_without_files_in_memory_keys_are_the_user_s_alone(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    key = Path(connect(_with_key(tmp_path), environ={}).configuration.key_file or "")
    assert key.read_bytes() == (TLS / "client.pem").read_bytes()
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert key.parent.parent == temporary
    assert key.parent.suffix == ".run"  # which the next run sweeps, if this one is killed


@pytest.mark.parametrize("text", ["users:\n- token: [SECRET", "token: 'SECRET", "\ttoken: SECRET", "a: b: SECRET"])
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_what_is_no_yaml_is_not_quoted(text: str, loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader))
    (tmp_path / "config").write_text(text)
    with pytest.raises(CannotRunError, match=r"is not valid YAML: .*, line [123]$") as raised:
        connect(Access(kubeconfig=str(tmp_path / "config")), environ={})
    assert "SECRET" not in raised.value.message


def test_a_kubeconfig_out_of_a_pipe(tmp_path: Path) -> None:
    write(tmp_path / "config", current="a")
    reader, writer = os.pipe()
    os.write(writer, (tmp_path / "config").read_bytes())
    os.close(writer)
    assert authorization(connect(Access(kubeconfig=f"/dev/fd/{reader}"), environ={})) == "Bearer a-token"
    os.close(reader)


@pytest.mark.parametrize("data", ["no base64!", "QQ", 7, ["QUJD"]])
def test_a_key_that_is_none_is_one_clear_error(data: object, tmp_path: Path, temporary: Path) -> None:
    user = {"client-certificate-data": data, "client-key-data": data}
    with pytest.raises(CannotRunError, match="cannot be used") as raised:
        connect(Access(kubeconfig=str(write(tmp_path / "config", current="a", user=user))), environ={})
    assert "PRIVATE" not in raised.value.message


def test_plugin_certificate(tmp_path: Path) -> None:
    pem = (TLS / "client.pem").read_text()
    (tmp_path / "answer").write_text(credential(clientCertificateData=pem, clientKeyData=pem))
    connection = connect(plugin(tmp_path, f"cat {tmp_path}/answer"), environ={})
    assert Path(connection.configuration.cert_file or "").read_text() == pem
    assert authorization(connection) is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'SSO session expired' >&2; exit 7", "SSO session expired"),
        ("echo no json", "not JSON"),
        ("echo '{}'", "no status"),
        (f"echo '{credential()}'", "neither a token"),
        (f"echo '{credential(token='t').replace('/v1', '/v1beta1')}'", "v1beta1"),
    ],
)
def test_plugin_failures_are_not_swallowed(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(CannotRunError) as caught:
        connect(plugin(tmp_path, script), environ={})
    assert said in caught.value.message


def test_missing_plugin_shows_the_install_hint(tmp_path: Path) -> None:
    access = plugin(tmp_path, "", command="no-such-plugin-of-ours", installHint="brew install it")
    with pytest.raises(CannotRunError, match="no-such-plugin-of-ours") as caught:
        connect(access, environ={})
    assert caught.value.hint == "brew install it"


def test_plugin_that_must_ask_needs_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CannotRunError, match="terminal"):
        connect(plugin(tmp_path, "", interactiveMode="Always"), environ={})


def test_auth_provider_without_a_token_is_not_anonymous(tmp_path: Path) -> None:
    path = write(tmp_path / "config", current="a", user={"auth-provider": {"name": "azure", "config": {}}})
    with pytest.raises(CannotRunError, match="azure"):
        connect(Access(kubeconfig=str(path)), environ={})


def test_server_version(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", "/version"] = [(200, {"gitVersion": "v1.34.4", "major": "1"}, {})]
    assert server_version(connection) == "v1.34.4"


def test_unreachable_server_fails_quickly_and_says_where(tmp_path: Path) -> None:
    with Fake() as gone:
        connection = gone.connection(tmp_path)
    started = time.monotonic()
    with pytest.raises(CannotRunError, match=r"127\.0\.0\.1:\d+.*refused"):
        server_version(connection)
    assert time.monotonic() - started < 1


def test_untrusted_server(tmp_path: Path) -> None:
    with Fake(tls=True) as fake:
        path = fake.kubeconfig(tmp_path, cluster={"certificate-authority": str(TLS / "client.pem")})
        with pytest.raises(CannotRunError, match=r"no trusted connection.*CERTIFICATE_VERIFY_FAILED"):
            server_version(connect(Access(kubeconfig=str(path)), environ={}))


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (401, {"message": "Unauthorized"}, CannotRunError, "credentials"),
        (403, {"message": "no way"}, UsageError, "no way"),
        (404, {"kind": "Status", "reason": "NotFound", "message": "nothing"}, UsageError, "nothing"),
        (404, b"<html>no such host</html>", CannotRunError, "not as a Kubernetes API does"),
        (404, {"message": "nothing"}, CannotRunError, "not as a Kubernetes API does"),
        (418, b"teapot", CannotRunError, "418"),
        (200, b"<html>log in</html>", CannotRunError, "no Kubernetes API"),
    ],
)
def test_what_the_api_may_answer(fake: Fake, connection: Connection, status: int, body: Any, error: type[Exception], said: str) -> None:
    fake.replies["GET", "/version"] = [(status, body, {})] * 4
    with pytest.raises(error, match=said):
        server_version(connection)


def test_overload_and_cut_connections_are_retried(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_BACKOFF_S", (0.01,) * 3)
    good: tuple[int, Any, dict[str, str]] = (200, {"gitVersion": "v1"}, {})
    fake.replies["GET", "/version"] = [(429, {}, {"Retry-After": "0"}), (0, b"", {}), (503, b"later", {}), good]
    assert server_version(connection) == "v1"
    fake.replies["GET", "/version"] = [(500, {"message": "etcd is ill"}, {"Retry-After": "0"})] * 4
    with pytest.raises(CannotRunError, match="etcd is ill"):
        server_version(connection)
