"""Connections."""

import pytest

from kubectl_vxtrace.facts.conntrack import read_conntrack
from kubectl_vxtrace.model.facts import ConntrackEntry
from tests.facts.samples import recorded


def test_recorded_translations() -> None:
    entries = read_conntrack(recorded("conntrack.txt"))
    assert len(entries) == len(recorded("conntrack.txt").splitlines())
    assert {entry.protocol for entry in entries} <= {"UDP", "TCP", "ICMP"}


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (
            "ipv4     2 udp      17 19 src=10.244.114.65 dst=10.96.0.10 sport=43374 dport=53 packets=1 bytes=105 [UNREPLIED] "
            "src=10.244.106.65 dst=10.244.114.65 sport=53 dport=43374 packets=0 bytes=0 mark=0 use=1",
            ConntrackEntry(
                protocol="UDP",
                original_source="10.244.114.65",
                original_destination="10.96.0.10",
                original_source_port=43374,
                original_destination_port=53,
                original_packets=1,
                reply_source="10.244.106.65",
                reply_destination="10.244.114.65",
                reply_source_port=53,
                reply_destination_port=43374,
                reply_packets=0,
                unreplied=True,
            ),
        ),
        (
            "tcp      6 86399 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 "
            "src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 [ASSURED] mark=0 use=1",
            ConntrackEntry(
                protocol="TCP",
                original_source="10.0.0.1",
                original_destination="10.0.0.2",
                original_source_port=1,
                original_destination_port=2,
                reply_source="10.0.0.2",
                reply_destination="10.0.0.1",
                reply_source_port=2,
                reply_destination_port=1,
                state="ESTABLISHED",
            ),
        ),
        (
            "ipv4 2 icmp 1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 packets=1 bytes=84 "
            "src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0",
            ConntrackEntry(
                protocol="ICMP",
                original_source="10.0.0.1",
                original_destination="10.0.0.2",
                original_source_port=77,
                original_destination_port=77,
                original_packets=1,
                reply_source="10.0.0.2",
                reply_destination="10.0.0.1",
                reply_source_port=77,
                reply_destination_port=77,
            ),
        ),
    ],
)
def test_lines(line: str, entry: ConntrackEntry) -> None:
    assert read_conntrack(line.encode()) == (entry,)


@pytest.mark.parametrize(
    "line", ["", "udp 17 3", "udp 17 src=1", "src=a dst=b src=c dst=d", "udp src=a dst=b", "\xff\x00", "sctp 132 src=a dst=b src=b dst=a"]
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert read_conntrack(line.encode("latin-1")) == ()
