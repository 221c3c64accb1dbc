"""kubectl's flags over a kubeconfig, as client-go has them over it."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube import config
from kubectl_vxtrace.kube.config import connect, server_version
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.model.request import Access
from tests.kube.fake import TLS, Fake

CA, CLIENT = str(TLS / "ca.pem"), str(TLS / "client.pem")


def kubeconfig(folder: Path, *, user: dict[str, Any] | None = None, **cluster: Any) -> str:
    path = folder / "kubeconfig"
    document = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://a.test", **cluster}}],
        "users": [{"name": "u", "user": {"token": "old"} if user is None else user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    }
    path.write_text(json.dumps(document))
    return str(path)


def reached(folder: Path, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **flags: Any) -> Connection:
    return connect(Access(kubeconfig=kubeconfig(folder, user=user, **(cluster or {})), **flags), environ={})


def header(connection: Connection, name: str = "Authorization") -> str | None:
    return dict(connection.headers()).get(name)


def test_a_server_takes_the_clusters_place_and_its_tls_name_is_void(tmp_path: Path) -> None:
    connection = reached(tmp_path, None, {"tls-server-name": "old.test"}, server="https://b.test")
    assert (connection.server, connection.configuration.tls_server_name, header(connection)) == ("https://b.test", None, "Bearer old")
    assert (connection.context, connection.namespace) == ("c", "shop")
    named = reached(tmp_path, None, {"tls-server-name": "old.test"}, server="https://b.test", tls_server_name="new.test")
    assert named.configuration.tls_server_name == "new.test"


@pytest.mark.parametrize(
    ("flags", "server"),
    [
        ({"server": "b.test:6443"}, "http://b.test:6443"),
        ({"server": "b.test:6443", "insecure_skip_tls_verify": True}, "https://b.test:6443"),
        ({"server": "b.test:6443", "certificate_authority": CA}, "https://b.test:6443"),
        ({"server": "b.test:6443", "client_certificate": CLIENT, "client_key": CLIENT}, "https://b.test:6443"),
        ({"server": "https://b.test/prefix/"}, "https://b.test/prefix"),
    ],
)
def test_a_server_without_a_scheme_is_read_as_client_go_reads_it(tmp_path: Path, flags: dict[str, Any], server: str) -> None:
    assert reached(tmp_path, **flags).server == server


def test_a_password_in_the_servers_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--server") as caught:
        reached(tmp_path, server="https://bob:hush@b.test")
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"


def test_no_credentials_are_sent_where_all_can_read_them(tmp_path: Path) -> None:
    connection = reached(tmp_path, {"token": "old", "as": "bob"}, server="http://127.0.0.1:8001", token="new")
    assert (header(connection), header(connection, "Impersonate-User")) == (None, "bob")


def test_a_server_needs_no_kubeconfig(tmp_path: Path) -> None:
    connection = connect(Access(server="https://b.test", token="new"), environ={"KUBECONFIG": str(tmp_path / "none")})
    assert (connection.server, header(connection), connection.namespace) == ("https://b.test", "Bearer new", "default")


@pytest.mark.parametrize(
    "user", [{"token": "old"}, {"tokenFile": "missing"}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/missing"}}]
)
def test_a_token_beats_all_that_would_give_another(tmp_path: Path, user: dict[str, Any]) -> None:
    assert header(reached(tmp_path, user, token="new")) == "Bearer new"


def test_basic_authentication(tmp_path: Path) -> None:
    assert header(reached(tmp_path, {}, username="bob", password="secret")) == "Basic Ym9iOnNlY3JldA=="
    token: Any
    for token in (None, "new"):
        with pytest.raises(UsageError, match="only one can be used"):
            reached(tmp_path, token=token, username="bob", password="secret")


def test_a_certificate_authority_takes_the_place_of_data_and_of_no_check(tmp_path: Path) -> None:
    connection = reached(tmp_path, None, {"insecure-skip-tls-verify": True}, certificate_authority=CA)
    assert (connection.configuration.verify_ssl, connection.configuration.ssl_ca_cert) == (True, CA)
    connection = reached(tmp_path, None, {"certificate-authority-data": "%%%"}, certificate_authority=CA)
    assert connection.configuration.ssl_ca_cert == CA


def test_no_check_takes_the_place_of_an_authority_in_the_kubeconfig_but_not_of_the_flag(tmp_path: Path) -> None:
    assert reached(tmp_path, None, {"certificate-authority": CA}, insecure_skip_tls_verify=True).configuration.verify_ssl is False
    with pytest.raises(UsageError, match="--insecure-skip-tls-verify"):
        reached(tmp_path, certificate_authority=CA, insecure_skip_tls_verify=True)


def test_a_client_certificate_takes_the_place_of_data(tmp_path: Path) -> None:
    old = {"client-certificate-data": "%%%", "client-key-data": "%%%"}
    settings = reached(tmp_path, old, client_certificate=CLIENT, client_key=CLIENT).configuration
    assert (settings.cert_file, settings.key_file) == (CLIENT, CLIENT)
    with pytest.raises(UsageError, match="without its key"):
        reached(tmp_path, client_certificate=CLIENT)


@pytest.mark.parametrize("flag", ["certificate_authority", "client_certificate", "client_key"])
def test_a_file_that_is_not_there_is_named_with_its_flag(tmp_path: Path, flag: str) -> None:
    named: dict[str, Any] = {flag: "/nowhere"}
    with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')}: there is no file /nowhere"):
        reached(tmp_path, **named)


def test_impersonation(tmp_path: Path) -> None:
    user = {"as": "ann", "as-uid": "1", "as-user-extra": {"scope": ["x"]}}
    connection = reached(tmp_path, user, as_user="bob", as_uid="2", as_user_extra=(("acme.com/a", "b"), ("acme.com/a", "c")))
    assert connection.headers()[-4:] == (
        ("Impersonate-User", "bob"),
        ("Impersonate-Uid", "2"),
        ("Impersonate-Extra-acme.com%2Fa", "b"),
        ("Impersonate-Extra-acme.com%2Fa", "c"),
    )
    assert header(reached(tmp_path, user), "Impersonate-Uid") == "1"
    assert header(reached(tmp_path, user, as_user="bob"), "Impersonate-Uid") is None
    flags: dict[str, Any]
    for flags in ({"as_uid": "2"}, {"as_user_extra": (("a", "b"),)}, {"as_groups": ("g",)}):
        with pytest.raises(UsageError, match="needs --as"):
            reached(tmp_path, **flags)


def test_in_a_pod_the_flags_take_the_service_accounts_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(client_configuration: Any) -> None:
        client_configuration.host = "https://10.0.0.1"
        client_configuration.api_key["BearerToken"] = "bearer of-the-pod"

    monkeypatch.setattr(config, "_load_in_cluster", load)
    environ = {"KUBECONFIG": str(tmp_path / "none"), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert header(connect(Access(), environ=environ)) == "bearer of-the-pod"
    connection = connect(Access(token="new", certificate_authority=CA), environ=environ)
    assert (header(connection), connection.configuration.ssl_ca_cert) == ("Bearer new", CA)


VERSION = {"gitVersion": "v1.34.4"}


def asked(server: Fake, **flags: Any) -> str:
    server.replies["GET", "/version"] = [(200, VERSION, {})]
    return server_version(connect(Access(server=server.url, **flags), environ={"KUBECONFIG": "/nowhere"}))


def test_what_is_sent_to_a_server_with_a_certificate() -> None:
    with Fake(tls=True) as server:
        assert asked(server, certificate_authority=CA, token="new") == "v1.34.4"
        assert server.seen[-1][2]["authorization"] == "Bearer new"
        assert asked(server, insecure_skip_tls_verify=True, username="bob", password="pw") == "v1.34.4"
        assert server.seen[-1][2]["authorization"] == "Basic Ym9iOnB3"
        with pytest.raises(CannotRunError, match="certificate"):
            asked(server)
        with pytest.raises(CannotRunError, match="certificate"):
            asked(server, certificate_authority=CA, tls_server_name="other.test")
