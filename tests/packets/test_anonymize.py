"""Captures under pseudonyms: no address or name of before is left, and all else is as it was, the truth of checksums too."""

from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import anonymize as anonymising
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.anonymize import PcapToAnonymise, anonymise
from kubectl_vxtrace.packets.summary import summarise
from kubectl_vxtrace.pseudonyms import Pseudonyms
from tests.packets import corpus
from tests.packets.hostile import Files
from tests.packets.test_fuzz import SEEDS
from tests.scrubbing import scrub
from tests.wire import frames

POD, NIC = Tap(node="a", interface="cali1"), Tap(node="a", interface="ens4")
CLIENT, SERVER, OUTER = "10.244.1.5", "10.244.2.6", ("10.128.0.72", "10.128.0.95")
CLIENT6, SERVER6 = "fd00::1:15", "fd00::2:26"
START_NS = 1_766_000_000_000_000_000
UDP, TCP, ICMP, ICMPV6 = 17, 6, 1, 58
MACS = (frames.MAC_A, frames.MAC_B)
NAME = "payments.shop.svc.cluster.local"


def pseudonyms(key: int = 1) -> Pseudonyms:
    return Pseudonyms(bytes([key]) * 32)


def four(inside: bytes, protocol: int) -> bytes:
    return frames.ethernet(frames.ipv4(inside, protocol=protocol, source=CLIENT, destination=SERVER))


def dns(message: bytes, port: int = 53) -> bytes:
    return frames.udp(message, source=40000, destination=port)


PACKETS = [
    four(dns(frames.dns_question(NAME)), UDP),
    four(dns(frames.dns_answer(NAME, CLIENT, ident=7)), UDP),
    four(frames.tcp(b"", source=40000, destination=80, seq=1), TCP),
    four(frames.icmp(3, 3, payload=frames.ipv4(dns(b""), protocol=UDP, source=SERVER, destination=CLIENT)), ICMP),
    four(
        frames.icmp(5, 1, rest=ip_address(SERVER).packed, payload=frames.ipv4(dns(b""), protocol=UDP, source=CLIENT, destination=SERVER)),
        ICMP,
    ),
    frames.ethernet(frames.arp(sender=CLIENT, target=SERVER), ethertype=0x0806),
    frames.ethernet(
        frames.ipv6(dns(frames.dns_question(NAME, kind=28)), source=CLIENT6, destination=SERVER6, protocol=UDP), ethertype=0x86DD
    ),
]


def originals() -> list[bytes]:
    """Every address, MAC and label, as they lie in packets."""
    addresses = [ip_address(text).packed for text in (CLIENT, SERVER, *OUTER, CLIENT6, SERVER6)]
    return [*addresses, *(bytes.fromhex(mac.replace(":", "")) for mac in MACS), b"payments", b"shop"]


def captures(folder: Path) -> list[PcapToAnonymise]:
    (folder / "out").mkdir()
    shots = {POD: PACKETS, NIC: [frames.encapsulate(each, source=OUTER[0], destination=OUTER[1]) for each in PACKETS]}
    for tap, packets in shots.items():
        frames.write_pcap(folder / tap.interface, [(START_NS + n, each) for n, each in enumerate(packets)])
    return [PcapToAnonymise(tap=tap, path=folder / tap.interface, destination=folder / "out" / tap.interface) for tap in shots]


def test_no_address_mac_or_name_is_left(tmp_path: Path) -> None:
    files = captures(tmp_path)
    assert anonymise(files, pseudonyms(), vxlan_ports={4789}, inside={POD}) is None
    for file in files:
        before, after = file.path.read_bytes(), file.destination.read_bytes()
        assert len(before) == len(after)
        assert sum(each in before for each in originals()) >= 7
        assert [each for each in originals() if each in after] == []


def test_the_same_question_is_the_same_at_each_hop_and_names_its_answer(tmp_path: Path) -> None:
    files = captures(tmp_path)
    assert anonymise(files, pseudonyms(), vxlan_ports={4789}, inside={POD}) is None
    pod, nic = (read_pcap(file.destination, tap=file.tap, vxlan_ports={4789} if file.tap == NIC else None) for file in files)
    assert pod.digest.tolist() == nic.digest.tolist()
    names = pseudonyms()
    said = summarise(files[0].destination, pod, [0, 1])
    assert said[0].endswith(f"A? {names.text.names.name(NAME)}")
    assert said[1].endswith(names.text(CLIENT))
    assert address_text(pod.conversations.source[pod.conversation[0]]) == names.text(CLIENT)


@pytest.mark.parametrize("wrong", [False, True])
def test_checksums_are_right_where_they_were(tmp_path: Path, wrong: bool) -> None:
    """Of IPv4 and of UDP over both versions, bare and inside VXLAN."""
    message = frames.dns_answer(NAME, SERVER)
    packets = []
    for version, (source, destination) in ((4, (CLIENT, SERVER)), (6, (CLIENT6, SERVER6))):
        pseudo = ip_address(source).packed + ip_address(destination).packed + (8 + len(message)).to_bytes(4) + bytes([0, 0, 0, UDP])
        check = frames.checksum(pseudo + frames.udp(message, source=53, destination=40000))
        datagram = frames.udp(message, source=53, destination=40000, check=(check + 5 if wrong else check) % 0x10000)
        if version == 4:
            packets.append(frames.ethernet(frames.ipv4(datagram, protocol=UDP, source=source, destination=destination)))
        else:
            packets.append(frames.ethernet(frames.ipv6(datagram, protocol=UDP, source=source, destination=destination), ethertype=0x86DD))
    path = tmp_path / "a"
    frames.write_pcap(path, [(START_NS, each) for each in packets])
    for key in range(20):
        file = PcapToAnonymise(tap=NIC, path=path, destination=tmp_path / "b")
        assert anonymise([file], pseudonyms(key), vxlan_ports={4789}, inside=()) is None
        raw = file.destination.read_bytes()
        at = 24 + 16 + 14
        four_, six = raw[at : at + 20 + 8 + len(message)], raw[-40 - 8 - len(message) :]
        assert frames.checksum(four_[:20]) == 0
        for addresses, datagram in ((four_[12:20], four_[20:]), (six[8:40], six[40:])):
            pseudo = addresses + len(datagram).to_bytes(4) + bytes([0, 0, 0, UDP])
            assert (frames.checksum(pseudo + datagram) == 0) is not wrong


def test_a_sum_that_a_nic_was_to_complete_still_is_one(tmp_path: Path) -> None:
    def pseudo(source: bytes, destination: bytes) -> int:
        return 0xFFFF - frames.checksum(source + destination + bytes([0, TCP]) + (20).to_bytes(2))

    segment = bytearray(frames.tcp(b"", source=40000, destination=80, seq=1))
    segment[16:18] = pseudo(ip_address(CLIENT).packed, ip_address(SERVER).packed).to_bytes(2)
    path = tmp_path / "a"
    frames.write_pcap(path, [(START_NS, four(bytes(segment), TCP))])
    assert anonymise([PcapToAnonymise(tap=NIC, path=path, destination=tmp_path / "b")], pseudonyms(), vxlan_ports={4789}, inside=()) is None
    packet = (tmp_path / "b").read_bytes()[24 + 16 + 14 :]
    assert int.from_bytes(packet[36:38]) == pseudo(packet[12:16], packet[16:20])


def scrubbed(path: Path) -> bool:
    return scrub([(NIC, path)], vxlan_ports=corpus.VXLAN_PORTS) == [None]


def addresses_of(table: PacketTable) -> set[bytes]:
    """The addresses that packets bear and that have a pseudonym."""
    small = (table.conversations.source, table.conversations.destination, table.tunnels.source, table.tunnels.destination)
    raw = {row.tobytes() for each in small for row in each}
    packed = {each[12:] if each.startswith(bytes(10) + b"\xff\xff") else each for each in raw}
    names = pseudonyms()
    return {each for each in packed if any(each) and names.address(each) != each}


def test_every_form_of_a_file(tmp_path: Path) -> None:
    for path in (each for each in corpus.write(tmp_path) if each.suffix == ".pcap"):
        assert scrubbed(path)
        file = PcapToAnonymise(tap=NIC, path=path, destination=tmp_path / "out")
        assert anonymise([file], pseudonyms(), vxlan_ports=corpus.VXLAN_PORTS, inside=()) is None, path.name
        raw = file.destination.read_bytes()
        found = addresses_of(read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS))
        assert len(found) > 4
        assert [ip_address(each) for each in found if each in raw] == []


@pytest.mark.parametrize("seed", range(5))
def test_hostile_files_lose_their_addresses_or_are_refused(tmp_path: Path, seed: int) -> None:
    files, path, refused = Files(seed, SEEDS), tmp_path / "a", 0
    for _ in range(60):
        path.write_bytes(files.draw())
        if not scrubbed(path):
            continue
        before = read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS)
        file = PcapToAnonymise(tap=NIC, path=path, destination=tmp_path / "b")
        if anonymise([file], pseudonyms(), vxlan_ports=corpus.VXLAN_PORTS, inside=()) is not None:
            refused += 1
            continue
        raw = file.destination.read_bytes()
        assert [each for each in addresses_of(before) if each in raw and np.frombuffer(each, np.uint8).astype(bool).sum() > 2] == []
    assert refused < 10


def test_what_would_be_read_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = captures(tmp_path)
    monkeypatch.setattr(anonymising._Writer, "checksums", lambda self: self._new.__setitem__(slice(-200, None), 0))
    assert anonymise(files, pseudonyms(), vxlan_ports={4789}, inside={POD}) is not None
