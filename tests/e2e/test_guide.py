"""The guide's commands, one after the other, as somebody who reads it runs them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT
from tests.documents import commands
from tests.e2e.place import CLIENT, SERVICE, Lab
from tests.troubleshoot import tool
from tests.troubleshoot.specs import FOLDER, environment, load
from tests.unpacking import contents

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

PAGES = ("index", "report", "tickets", "faq", "wireshark")
COMMANDS = list(dict.fromkeys(command.arguments for page in PAGES for command in commands(ROOT / "docs" / f"{page}.md") if command.to_run))
# What stands in the guide for what each reader has.
NAMES = {
    "shop/frontend-0": CLIENT,
    "shop/web-0": CLIENT,
    "shop/storefront-58f859745b-x4nh8": CLIENT,
    "api": SERVICE,
    "15s": "4s",
    "5s": "4s",
}
PCAPNG = bytes.fromhex("0a0d0d0a")
BUNDLES = ("BUNDLE.zip", "vxtrace-7f3a01-20261123T120001Z.zip")
HELD_BY_THE_SUPPORT_BUNDLE = "host-collectors/run-host/vxtrace/out/vxtrace.zip"


@pytest.fixture(scope="module")
def folder(lab_of_backend: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader is, with the files that the guide names."""
    place = tmp_path_factory.mktemp("guide")
    lab_of_backend.heal()
    run = lab_of_backend.trace("--bundle", BUNDLES[0], cwd=place)
    assert run.code == 0, run.stderr
    for name in BUNDLES[1:]:
        shutil.copy(place / BUNDLES[0], place / name)
    held = {HELD_BY_THE_SUPPORT_BUNDLE: (place / BUNDLES[0]).read_bytes()}
    (place / "SUPPORT-BUNDLE.tar.gz").write_bytes(tool.archive(held))
    return place


def test_the_guide_has_commands() -> None:
    assert {arguments[0] for arguments in COMMANDS} >= {"version", "check", "pod", "analyze", "explain", "cleanup"}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_of_the_guide_does_what_it_says(arguments: tuple[str, ...], folder: Path, place: Lab) -> None:
    """On a healthy path each of them ends with 0."""
    (folder / "all.pcapng").unlink(missing_ok=True)  # several ways to it are shown
    own = [NAMES.get(word, word) for word in arguments]
    program = [sys.executable, "-m", "kubectl_vxtrace", *own]
    environment = {**place.environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(PCAPNG) == (own[-2:] == ["--pcap", "-"])
    assert done.stdout.strip()


def test_the_table_of_the_bundle_s_files_is_true(folder: Path) -> None:
    """What tickets.md lists is in a bundle, and what is in a bundle it lists."""
    text = (ROOT / "docs" / "tickets.md").read_text(encoding="utf-8").partition("## What is in it")[2].partition("\n## ")[0]
    named = {part.strip("`") for row in text.splitlines() if row.startswith("| `") for part in row.split("|")[1].strip().split(", ")}
    names = contents(folder / BUNDLES[0])
    tops = {f"{name.partition('/')[0]}/" if "/" in name else "NODE-ROLE.pcap" if name.endswith(".pcap") else name for name in names}
    assert named - tops <= {"handoff.md"}, "that page is there only where packets were lost between two NICs"
    assert tops <= named


def test_a_support_bundle_tells_what_is_broken(place: Lab, tmp_path: Path) -> None:
    spec = load(FOLDER / "support-bundle.yaml")
    run = tool.collector(spec)
    own = {**run, "args": [{"svc/api": f"kube-system/{SERVICE}", **NAMES}.get(word, word) for word in run["args"]]}
    place.fault("host-firewall")
    files = tool.collect(own, {**environment(tmp_path), "KUBECONFIG": str(place.kubeconfig)}, tmp_path)
    told = tool.analyze(tool.analyzer(spec), files)
    assert (told.outcome, "(cause: host-firewall)" in told.message) == ("fail", True), files
    (tmp_path / "support-bundle.tar.gz").write_bytes(tool.archive(files))
    again = place.vxtrace("analyze", "support-bundle.tar.gz", "-o", "json", cwd=tmp_path)
    assert (again.code, again.report["cause"]) == (3, "host-firewall")
    assert again.stdout.encode() == files["host-collectors/run-host/vxtrace.txt"]
