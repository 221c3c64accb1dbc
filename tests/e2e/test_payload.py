"""What an application sends while it is traced: in no file of the bundle, but for those who ask for it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, ROOT, Cluster, Lab
from tests.promises import traces
from tests.promises.cells import INT2, KILL, Blow, Cell
from tests.promises.held import Phase
from tests.unpacking import contents

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

WEB = "10.106.0.218"
TARGET = f"{WEB}:3000/tcp"
# Everything by which a process of Linux can bring bytes into a file; memory that is shared with one has no call for each byte.
WRITES = "write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,splice,vmsplice,tee"
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
    run = place.vxtrace("pod", CLIENT, "--to", TARGET, "--duration", "2s", "--bundle", "b.zip", "-o", "json", *flags, cwd=cwd)
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


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("payload", [False, True], ids=["taken out", "asked for"])
def test_no_token_is_ever_written(place: Lab, tmp_path: Path, *, payload: bool) -> None:
    """Not for a moment, into no file, by no process of the trace; that it would be seen is seen where it is asked for."""
    log = tmp_path / "log"
    flags = ["--payload"] if payload else []
    done = subprocess.run(
        [
            *(
                "strace",
                "--follow-forks",
                "--decode-fds=path",
                "--string-limit=16777216",
                f"--trace={WRITES},mmap",
                f"--output={log}",
                "--",
            ),
            *(sys.executable, "-m", "kubectl_vxtrace", "pod", CLIENT, "--to", TARGET, "--duration", "2s", "--bundle", "b.zip", *flags),
        ],
        cwd=tmp_path,
        env={**place.environment(), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    calls = log.read_text(errors="replace").splitlines()
    written = [call for call in calls if SECRET.decode() in call]
    assert len([call for call in written if ".pcap.part>" in call]) == (6 if payload else 0)
    assert payload or written == []
    assert len({call.partition(">")[0] for call in calls if ".pcap.part>" in call and "write(" in call}) == 6
    assert [call for call in calls if "MAP_SHARED" in call and "PROT_WRITE" in call and f"<{tmp_path}/" in call] == []


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("blow", [INT2, KILL], ids=lambda blow: blow.name)
def test_no_token_is_left_by_an_interrupted_trace(place: Lab, tmp_path: Path, blow: Blow) -> None:
    """While captures are fetched: what came is kept, or in a bundle where the trace was quicker; after SIGKILL nobody has removed it."""
    seen = traces.strike(Cell(phase=Phase.FETCHING, blow=blow), place.kubeconfig, place.environment(), tmp_path, to=TARGET)
    place.vxtrace("cleanup", "--all", cwd=tmp_path)
    files = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for bundle in tmp_path.glob("*.zip"):
        files |= contents(bundle)
    assert blow is KILL or any(name.endswith(".pcap") for name in files), seen
    assert [name for name, content in files.items() if SECRET in content] == []
