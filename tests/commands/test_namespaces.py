"""A namespace that does not exist is an error, whichever command and flag names it."""

from pathlib import Path

import pytest

from tests.command import call
from tests.kube.fake import Fake

NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["pod", "web", "--to", "api", "-n=shup"],
        ["pod", "shup/web", "--to", "api"],
        ["pod", "-l", "app=web", "--to", "api", "-n", "shup"],
        ["pod", "web", "--to", "api.shup.svc"],
        ["pod", "web", "--to", "api", "--debug-namespace=shup"],
        ["pod", "web", "--to", "api", "--debug-namespace=shup", "--dry-run=client"],
        ["check", "-n", "shup"],
        ["check", "--debug-namespace", "shup"],
        ["check", "pod", "web", "--debug-namespace", "shup"],
        ["check", "pods", "web", "--to", "api", "--debug-namespace", "shup"],
        ["cleanup", "-n=shup"],
        ["cleanup", "--debug-namespace=shup", "--all"],
    ],
)
def test_it_is_an_error(arguments: list[str], tmp_path: Path) -> None:
    with Fake() as server:
        server.lists["/api/v1/nodes"] = [{"metadata": {"name": "node-a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}]
        done = call(*arguments, "--kubeconfig", str(server.kubeconfig(tmp_path)), **NO_PROXY)
        assert (done.returncode, done.stdout) == (2, "")
        assert 'error: namespaces "shup" not found' in done.stderr
        assert not [path for method, path, _, _ in server.seen if method == "POST"]
