"""What an application sends while it is traced: in no file of the bundle, but for those who ask for it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, Cluster, Lab
from tests.unpacking import contents

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

WEB = "10.106.0.218"
SECRET = b"SUPERSECRET123"
ASKING = f"""
import http.client, time
while True:
    web = http.client.HTTPConnection("{WEB}", 3000, timeout=2)
    web.request("GET", "/", headers={{"Authorization": "Bearer {SECRET.decode()}"}})
    web.getresponse().read()
    time.sleep(0.2)
"""


@pytest.fixture
def asking(place: Lab) -> Iterator[None]:
    """The client pod asks a Service with a token, again and again."""
    if isinstance(place, Cluster):
        pytest.skip("the pod's network namespace is entered from this machine")
    process = subprocess.Popen(place.inside(CLIENT, sys.executable, "-c", ASKING), stderr=subprocess.DEVNULL)
    yield
    process.terminate()
    process.wait()


def trace(place: Lab, cwd: Path, *flags: str) -> tuple[dict[str, bytes], bool]:
    """The files of a trace's bundle, and whether it says that payload was taken out."""
    run = place.vxtrace("pod", CLIENT, "--to", f"{WEB}:3000/tcp", "--duration", "2s", "--bundle", "b.zip", "-o", "json", *flags, cwd=cwd)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    [scrubbed] = {capture["scrubbed"] for capture in run.report["captures"]}
    return contents(cwd / "b.zip"), scrubbed


@pytest.mark.usefixtures("asking")
def test_a_token_is_in_no_file(place: Lab, tmp_path: Path) -> None:
    files, scrubbed = trace(place, tmp_path)
    assert scrubbed
    assert [name for name, content in files.items() if SECRET in content or b"Bearer" in content] == []
    assert b"payload was taken out" in files["summary.md"]


@pytest.mark.usefixtures("asking")
def test_it_is_there_for_those_who_ask_for_it(place: Lab, tmp_path: Path) -> None:
    files, scrubbed = trace(place, tmp_path, "--payload")
    assert not scrubbed
    assert len([name for name, content in files.items() if name.endswith(".pcap") and SECRET in content]) == 6
    assert b"what applications sent" in files["summary.md"]
