"""Captures of traffic that stays on its node, of which nobody captured the client's interface."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.handover import build
from tests.wire.emit import emit
from tests.wire.places import EPOCH
from tests.wire.world import Flow, Packet, World

SERVER = "10.244.114.80"
"""A pod of the client's own node."""
MS = 1_000_000


def test_what_never_left_its_node_is_not_missing_at_the_nic() -> None:
    answers = tuple(
        Packet(reply=True, time_ns=EPOCH + number * MS, payload=b"answer %d" % number, ip_id=100 + number) for number in range(4)
    )
    others = Packet(flow=1, client_port=41_000, payload=b"of another pod", ip_id=5_001)
    asked = Packet(time_ns=EPOCH - MS, payload=b"asked", ip_id=1)
    world = World(flows=(Flow(server=SERVER, server_port=4_000), Flow(server_port=3_010)), packets=(asked, *answers, others))
    with TemporaryDirectory() as folder:
        written = emit(world).write(Path(folder))
        kept = {name: path for name, path in written.items() if name in (("ada-ec-1", "cali5555555555a"), ("ada-ec-1", "ens4"))}
        files = {f"{node}_{interface}.pcap": path.read_bytes() for (node, interface), path in kept.items()}
    with TemporaryDirectory() as folder:
        report = build.report_of(Path(folder), files)
    assert len(files) == 2
    assert [leg for flow in report.flows for direction in flow.directions for leg in direction.legs if leg.lost] == []
    assert report.completeness.complete is False
