"""The main command on a healthy path."""

from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, Lab, direction_of, hop_packets

pytestmark = [pytest.mark.lab]


def test_every_packet_is_seen_at_every_hop_in_both_directions(place: Lab, backend: str, tmp_path: Path) -> None:
    run = place.trace(cwd=tmp_path)
    assert run.code == 0, run.stderr
    report = run.report
    assert report["verdict"] == "delivered"
    assert report["impact"] == "none"
    assert report["cause"] is None
    assert report["completeness"] == {"complete": True, "blind": []}
    dns = [flow for flow in report["flows"] if flow["service"]["port"] == 53 and flow["protocol"] == "UDP"]
    assert {flow["server"]["node"] for flow in dns} == place.dns_nodes()
    hops = {"calico": 6, "flannel": 8}[backend]
    for flow in dns:
        assert flow["client"]["pod"] == CLIENT
        assert flow["service"]["name"] == "kube-system/kube-dns"
        for name in ("request", "reply"):
            counts = hop_packets(direction_of(flow, name))
            assert len(counts) == hops
            assert counts[0] > 0
            assert len(set(counts)) == 1


@pytest.mark.one_backend
def test_clean_up_is_confirmed_and_the_bundle_is_written(place: Lab, tmp_path: Path) -> None:
    run = place.trace(cwd=tmp_path)
    assert run.report["cleanup"] == {"state": "confirmed", "left": []}
    assert len(list(tmp_path.glob("vxtrace-*.zip"))) == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".zip"] == []


@pytest.mark.one_backend
def test_the_table_ends_with_what_matters(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--duration", "3s", cwd=tmp_path)
    assert run.code == 0, run.stderr
    last = [line.split()[0] for line in run.stdout.splitlines()[-3:]]
    assert last == ["VERDICT", "BUNDLE", "CLEANUP"]


@pytest.mark.one_backend
def test_output_name_prints_the_bundle_alone(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--duration", "2s", "-o", "name", "--bundle", "ticket.zip", cwd=tmp_path)
    assert run.stdout == "ticket.zip\n"
    assert (tmp_path / "ticket.zip").is_file()


@pytest.mark.one_backend
def test_without_tshark_it_is_the_same_but_for_the_dissection(place: Lab, tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path)}
    arguments = ["pod", CLIENT, "--to", "kube-dns", "--duration", "3s", "-o", "json", "--bundle", "ticket.zip"]
    run = place.vxtrace(*arguments, cwd=tmp_path, environment=nowhere)
    assert run.code == 0, run.stderr
    assert run.stderr.count("are not dissected") == 1
    assert {packet["dissection"] for packet in run.report["packets"]} == {None}
    again = place.vxtrace("analyze", "ticket.zip", "-o", "json", cwd=tmp_path, environment=nowhere)
    assert again.stdout == run.stdout
    dissected = place.vxtrace("analyze", "ticket.zip", "-o", "json", cwd=tmp_path).report
    assert None not in {packet.pop("dissection") for packet in dissected["packets"]}
    plain = run.report
    for packet in plain["packets"]:
        packet.pop("dissection")
    assert dissected == plain


@pytest.mark.one_backend
def test_bundle_none_writes_nothing(place: Lab, tmp_path: Path) -> None:
    assert place.trace("--bundle", "none", cwd=tmp_path, duration="2s").code == 0
    assert list(tmp_path.iterdir()) == []
