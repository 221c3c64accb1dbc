"""Payload taken out of captures: no byte of it is left, and whatever the analysis reads is as it was."""

from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import read_pcap, read_pcaps
from kubectl_vxtrace.packets import scrub as scrubbing
from kubectl_vxtrace.packets.scrub import PcapToScrub, scrub
from tests.packets import corpus
from tests.packets.hostile import Files
from tests.packets.test_fuzz import SEEDS
from tests.wire import frames

SECRET = b"SUPERSECRET123"
POD, NIC = Tap(node="a", interface="cali1"), Tap(node="a", interface="ens4")
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
START_NS = 1_766_000_000_000_000_000
TCP, UDP, ICMP = 6, 17, 1


def packet(payload: bytes, protocol: int, ident: int = 0, fragment: int = 0) -> bytes:
    return frames.ethernet(frames.ipv4(payload, protocol=protocol, ident=ident, fragment=fragment, source=CLIENT, destination=SERVER))


def http(head: bytes, seq: int) -> bytes:
    body = head + b"\r\nAuthorization: Bearer " + SECRET + b"\r\n\r\n"
    return packet(frames.tcp(body, source=40000, destination=80, seq=seq), TCP)


def quoting(inside: bytes) -> bytes:
    """An error that quotes a packet with its payload, as Linux does."""
    return packet(frames.icmp(3, 3, payload=frames.ipv4(inside, protocol=UDP, source=CLIENT, destination=SERVER)), ICMP)


def datagram(payload: bytes, port: int = 9000) -> bytes:
    return frames.udp(payload, source=40000, destination=port)


def encapsulated(frame: bytes) -> bytes:
    return frames.encapsulate(frame, source="10.128.0.72", destination="10.128.0.95")


PACKETS = [
    http(b"GET / HTTP/1.1", 1),
    http(b"HTTP/1.1 503 Service Unavailable", 2),
    *(packet(datagram(SECRET + bytes([number])), UDP) for number in range(5)),
    *(packet(datagram(SECRET[:length]), UDP) for length in range(1, 9)),
    *(packet(datagram(bytes([number])), UDP) for number in range(0, 256, 5)),
    packet(datagram(SECRET + bytes([1])), UDP),
    packet(frames.echo(7, 1, SECRET * 3), ICMP),
    packet(datagram(SECRET * 5)[8:], UDP, ident=9, fragment=0x2001),
    quoting(datagram(SECRET * 4)),
    packet(frames.icmp(3, 1, payload=encapsulated(packet(datagram(SECRET * 2), UDP))[14:]), ICMP),
    packet(frames.udp(frames.dns_question("kubernetes.default"), source=40000, destination=53), UDP),
]


def captures(folder: Path, snaplen: int = 262144) -> list[PcapToScrub]:
    """The same packets at a pod's interface and, encapsulated, at the NIC."""
    shots = {POD: PACKETS, NIC: [encapsulated(each) for each in PACKETS]}
    for tap, packets in shots.items():
        frames.write_pcap(folder / tap.interface, [(START_NS + n, each) for n, each in enumerate(packets)], snaplen=snaplen)
    return [PcapToScrub(tap=tap, path=folder / tap.interface) for tap in shots]


def read(files: list[PcapToScrub]) -> list[PacketTable]:
    tables = read_pcaps([(file.tap, file.path) for file in files], vxlan_ports={4789}, inside={POD})
    return [table for table in tables if isinstance(table, PacketTable)]


@pytest.mark.parametrize("snaplen", [262144, 160])
def test_no_payload_is_left_and_all_else_is(tmp_path: Path, snaplen: int) -> None:
    files = captures(tmp_path, snaplen)
    before = read(files)
    assert scrub(files, vxlan_ports={4789}, inside={POD}) == [None, None]
    after = read(files)
    for file in files:
        content = file.path.read_bytes()
        assert not any(SECRET[:length] in content for length in range(4, len(SECRET)))
        assert b"kubernetes" in content
    for one, two in zip(before, after, strict=True):
        assert one.payload_bytes.tolist() == two.payload_bytes.tolist()
        assert one.notices.code.tolist() == two.notices.code.tolist() == [503]
        assert one.icmp_quotes.row.tolist() == two.icmp_quotes.row.tolist()
        assert len(two.icmp_quotes.row)
    pod, nic = after
    assert pod.digest.tolist() == nic.digest.tolist()
    assert len(np.unique(pod.digest)) == len(np.unique(before[0].digest))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cali1", "ens4"]


def test_dns_behind_another_port_stays_too(tmp_path: Path) -> None:
    """A Service's port 53 may be any port of its pods: the same question is the same on both sides of the translation."""
    question = frames.dns_question("kubernetes.default")
    for tap, port in ((POD, 53), (NIC, 10053)):
        frames.write_pcap(tmp_path / tap.interface, [(START_NS, packet(datagram(question, port), UDP))])
    files = [PcapToScrub(tap=tap, path=tmp_path / tap.interface) for tap in (POD, NIC)]
    assert scrub(files, vxlan_ports={4789}, inside={POD}) == [None, None]
    one, two = read(files)
    assert one.digest.tolist() == two.digest.tolist()


def test_every_form_of_a_file(tmp_path: Path) -> None:
    for path in (each for each in corpus.write(tmp_path) if each.suffix == ".pcap"):
        table = read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS)
        assert scrub([PcapToScrub(tap=NIC, path=path)], vxlan_ports=corpus.VXLAN_PORTS, inside=()) == [None], path.name
        again = read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS)
        assert again.kind.tolist() == table.kind.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_hostile_files_are_scrubbed_or_left_as_they_are(tmp_path: Path, seed: int) -> None:
    files, path = Files(seed, SEEDS), tmp_path / "a"
    for _ in range(60):
        content = files.draw()
        path.write_bytes(content)
        [left] = scrub([PcapToScrub(tap=NIC, path=path)], vxlan_ports={4789}, inside=())
        assert left is None or path.read_bytes() == content
        assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_what_would_be_read_otherwise_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = captures(tmp_path)
    before = [file.path.read_bytes() for file in files]
    monkeypatch.setattr(scrubbing, "_overwrite", lambda path, *_: path.write_bytes(path.read_bytes()[:-200]))
    assert all(scrub(files, vxlan_ports={4789}, inside={POD}))
    assert [file.path.read_bytes() for file in files] == before
