"""What is given as a flag to prove who asks is said nowhere, whatever happens."""

from pathlib import Path

import pytest

from tests.command import call
from tests.kube.fake import TLS, Fake

SECRET = "hush-hush"


@pytest.mark.parametrize(
    "secret", [["--token", SECRET], [f"--token={SECRET}"], ["--username", "bob", "--password", SECRET], ["--token", f"{SECRET}\nx"]]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["version", "-v=6"],
        ["version", "-o", "json"],
        ["check", "-v"],
        ["pod", "web", "--to", "api", "-v"],
        ["cleanup", "--unknown"],
        ["pod", "web", "--to", "api", "-o", "nonsense"],
        ["pod", "web", "extra", "--to", "api"],
        ["__complete", "pod", "w"],
    ],
)
def test_it_is_said_nowhere(arguments: list[str], secret: list[str], tmp_path: Path) -> None:
    with Fake(tls=True) as server:
        server.replies["GET", "/version"] = [(401, {"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized"}, {})] * 9
        flags = ["--server", server.url, "--certificate-authority", str(TLS / "ca.pem"), *secret]
        command, *rest = arguments
        words = [command, *flags, *rest] if command == "__complete" else [*arguments, *flags]
        done = call(*words, KUBECONFIG="/nowhere", NO_PROXY="*", no_proxy="*", TMPDIR=str(tmp_path))
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
