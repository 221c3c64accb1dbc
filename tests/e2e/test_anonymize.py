"""A trace with --anonymize of live nodes: no name and no address of theirs in any file, and the same verdict."""

import zipfile
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, Lab

pytestmark = [pytest.mark.lab]


def test_no_file_knows_whose_it_is(place: Lab, tmp_path: Path) -> None:
    plain = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--duration", "2s", "-o", "json", "--bundle", "none", cwd=tmp_path)
    run = place.vxtrace(
        "pod", CLIENT, "--to", "kube-dns", "--duration", "2s", "-o", "json", "--bundle", "b.zip", "--anonymize", cwd=tmp_path
    )
    assert (run.code, run.report["verdict"], run.report["cause"]) == (plain.code, plain.report["verdict"], plain.report["cause"]), (
        run.stderr
    )
    ends = [flow[end] for flow in plain.report["flows"] for end in ("client", "server")]
    devices = plain.report["overlay"]["devices"]
    addresses = {end["address"] for end in ends} | {device[key] for device in devices for key in ("address", "underlay_address")}
    names = {end["node"] for end in ends} | {CLIENT.partition("/")[0]}
    wanted = [name.encode() for name in names | addresses] + [ip_address(text).packed for text in addresses if not text.endswith(".0")]
    assert len(wanted) > 8
    with zipfile.ZipFile(tmp_path / "b.zip") as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    assert [(name, form) for name, content in files.items() for form in wanted if form in name.encode() + content] == []
    again = place.vxtrace("analyze", "b.zip", "-o", "json", cwd=tmp_path)
    assert (again.report["verdict"], again.report["summary"]) == (run.report["verdict"], run.report["summary"])
