"""What a Tab gets, with an API, with a slow one, and without any."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_group

from kubectl_vxtrace.app import app
from kubectl_vxtrace.commands import complete
from kubectl_vxtrace.commands.complete import Directive, candidates
from kubectl_vxtrace.commands.explain import starting_with
from kubectl_vxtrace.kube.names import Names
from kubectl_vxtrace.model.request import Access
from tests.command import ROOT, call
from tests.kube.fake import TLS, Fake

NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}
NO_FILES, ONWARDS = Directive.NO_FILES, Directive.NO_FILES | Directive.NO_SPACE


def named(*names: str) -> list[dict[str, object]]:
    return [{"metadata": {"name": name}} for name in names]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with Fake() as server:
        server.lists = {
            "/api/v1/namespaces": named("default", "shop", "store"),
            "/api/v1/nodes": named("node-a", "node-b"),
            "/api/v1/namespaces/shop/pods": named("web-0", "web-1", "api-0"),
            "/api/v1/namespaces/default/pods": named("tool"),
            "/api/v1/namespaces/shop/services": named("api", "db"),
            "/apis/apps/v1/namespaces/shop/deployments": named("web"),
        }
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path, namespace="shop")))
        yield server


def words(line: str) -> tuple[list[str], Directive]:
    found = candidates(line.split(" "), get_group(app), starting_with)
    return [word for word, _ in found.words], found.directive


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("pod we", ["web-0", "web-1"]),
        ("pods we", ["web-0", "web-1"]),
        ("-n shop pod we", ["web-0", "web-1"]),
        ("pod -n default to", ["tool"]),
        ("pod --namespace=default to", ["tool"]),
        ("pod shop/a", ["shop/api-0"]),
        ("pod default/", ["default/tool"]),
        ("pod deploy/", ["deploy/web"]),
        ("pod deploy/shop/w", ["deploy/shop/web"]),
        ("pod a/b/c/", []),
        ("pod web-0 ", []),
        ("pod web-0 --to d", ["db", "deploy/", "ds/", "default/"]),
        ("pod web-0 --to=ap", ["api", "api-0"]),
        ("pod web-0 --to svc/", ["svc/api", "svc/db"]),
        ("pod web-0 --to svc/shop/d", ["svc/shop/db"]),
        ("pod web-0 --to node/", ["node/node-a", "node/node-b"]),
        ("pod web-0 --to shop/d", ["shop/db"]),
        ("check pod we", ["web-0", "web-1"]),
        ("check po", ["pod"]),
        ("pod x -n s", ["shop", "store"]),
        ("cleanup --debug-namespace=", ["default", "shop", "store"]),
        ("pod x --context ", ["fake"]),
        ("pod x --cluster ", ["fake"]),
        ("pod x --user ", ["me"]),
        ("explain underlay-u", ["underlay-udp-blocked"]),
        ("completion ", ["bash", "zsh", "fish", "install"]),
        ("pod x --profile=", ["privileged", "netraw"]),
        ("pod x -o j", ["json"]),
        ("pod x --protocol u", ["udp"]),
        ("pod x --as-u", ["--as-uid", "--as-user-extra"]),
        ("pod x --quiet=", []),
        ("nonsense ", []),
        ("node ", ["node-a", "node-b"]),
        ("node node-a --to ", ["node-a", "node-b"]),
        ("help cl", ["cleanup"]),
        ("--context fake vers", ["version"]),
        ("--context ", ["fake"]),
        ("", list(get_group(app).commands)),
    ],
)
def test_what_there_is_to_choose_from(fake: Fake, line: str, wanted: list[str]) -> None:
    assert words(line)[0] == wanted


@pytest.mark.parametrize(
    ("line", "directive"),
    [
        ("pod we", NO_FILES),
        ("pod de", ONWARDS),
        ("pod x --kubeconfig ", Directive.FILES),
        ("pod x --pcap=", Directive.FILES),
        ("analyze ", Directive.FILES),
        ("analyze a.zip b", Directive.FILES),
        ("pod x --duration ", NO_FILES),
        ("schema ", NO_FILES),
    ],
)
def test_what_the_shell_is_to_do(fake: Fake, line: str, directive: Directive) -> None:
    assert words(line)[1] == directive


def test_flags_of_the_cluster_are_heeded(fake: Fake, tmp_path: Path) -> None:
    assert words("pod --as bob --as-group dev --as-group=ops -n default to")[0] == ["tool"]
    headers = fake.seen[-1][2]
    assert (headers["impersonate-user"], headers["impersonate-group"], headers["authorization"]) == ("bob", "ops", "Bearer sesame")
    assert words(f"pod --kubeconfig {tmp_path / 'none'} --server {fake.url} -n shop we")[0] == []
    assert words("pod --context nope we")[0] == []


def test_every_group_is_sent(fake: Fake, tmp_path: Path) -> None:
    names = Names(Access(as_user="bob", as_groups=("dev", "ops")), timeout_s=5.0)
    assert [value for name, value in names._headers if name == "Impersonate-Group"] == ["dev", "ops"]
    assert names.of("namespace") == ["default", "shop", "store"]


def test_over_tls_with_the_kubeconfigs_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Fake(tls=True) as server:
        server.lists = {"/api/v1/namespaces": named("shop")}
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        assert words("pod x -n s")[0] == ["shop"]
        assert words("pod x --tls-server-name other.test -n s")[0] == []
        client = f"--client-certificate {TLS / 'client.pem'} --client-key {TLS / 'client.pem'}"
        assert words(f"pod x --insecure-skip-tls-verify {client} -n s")[0] == ["shop"]
        monkeypatch.setenv("KUBECONFIG", "/nowhere")
        assert words(f"pod x --server {server.url} --token t -n s")[0] == []  # nobody knows its authority


def test_what_may_not_be_read_is_no_candidate_and_no_error(fake: Fake) -> None:
    fake.forbidden |= {"/api/v1/namespaces", "/api/v1/namespaces/shop/pods"}
    assert words("pod s") == (["sts/"], ONWARDS)
    done = call("__complete", "pod", "s")
    assert (done.returncode, done.stdout, done.stderr) == (0, "sts/\n:6\n", "")


@pytest.mark.parametrize("kubeconfig", ["{", '{"clusters": 1}', '{"current-context": "a"}'])
def test_a_broken_kubeconfig_is_no_error(kubeconfig: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(kubeconfig)
    done = call("__complete", "pod", "--to", "x", KUBECONFIG=str(tmp_path / "config"))
    assert (done.returncode, done.stdout, done.stderr) == (0, ":4\n", "")


def test_an_api_that_hangs_is_waited_for_less_than_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        document = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.getsockname()[1]}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(path))
        start_s = time.monotonic()
        assert words("pod s") == (["sts/"], ONWARDS)
        assert time.monotonic() - start_s < 1.0
        done = call("__complete", "pod", "--color", "")
        assert done.stdout == "auto\nalways\nnever\n:4\n"


def test_a_credential_plugin_that_hangs_or_would_ask_does_not_hold_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    for mode, command in (("Never", "sleep"), ("Always", "sh")):
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": ["2"], "interactiveMode": mode}
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path, user={"exec": plugin})))
        start_s = time.monotonic()
        assert words("pod s") == (["sts/"], ONWARDS)
        assert time.monotonic() - start_s < 1.0
    assert fake.seen == []


def test_a_kubeconfig_that_nobody_writes_does_not_hold_it_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    start_s = time.monotonic()
    assert words(f"pod --kubeconfig {tmp_path / 'pipe'} --context ")[0] == []
    assert time.monotonic() - start_s < 1.0


def test_nothing_heavy_is_imported() -> None:
    heavy = ("kubernetes", "numpy", "rich", "urllib3", "requests")
    imports = "import sys; from kubectl_vxtrace.kube import names; from kubectl_vxtrace.commands import complete"
    code = f"{imports}; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "[]\n"


def test_descriptions_are_left_out_where_they_are_not_wanted() -> None:
    assert call("__complete", "schem").stdout == "schema\tPrint the JSON Schema of the report.\n:4\n"
    assert call("__completeNoDesc", "schem").stdout == "schema\n:4\n"
    assert call("__complete").stdout.endswith(":4\n")
    assert complete.BOUND_S < 1
