"""Payload taken out of captures: no byte of it is left, and whatever the analysis reads is as it was."""

from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import read_pcap, read_pcaps
from kubectl_vxtrace.packets import scrub as scrubbing
from kubectl_vxtrace.packets.scrub import Scrubber
from tests.packets import corpus
from tests.packets.hostile import Files
from tests.packets.test_fuzz import SEEDS
from tests.scrubbing import scrub
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


def captures(folder: Path, snaplen: int = 262144) -> list[tuple[Tap, Path]]:
    """The same packets at a pod's interface and, encapsulated, at the NIC."""
    shots = {POD: PACKETS, NIC: [encapsulated(each) for each in PACKETS]}
    for tap, packets in shots.items():
        write(folder / tap.interface, packets, snaplen)
    return [(tap, folder / tap.interface) for tap in shots]


def write(path: Path, packets: list[bytes], snaplen: int = 262144) -> None:
    frames.write_pcap(path, [(START_NS + n, each) for n, each in enumerate(packets)], snaplen=snaplen)


def read(files: list[tuple[Tap, Path]]) -> list[PacketTable]:
    return [table for table in read_pcaps(files, vxlan_ports={4789}, inside={POD}) if isinstance(table, PacketTable)]


def alike(tables: list[PacketTable]) -> list[int]:
    """For each packet of all tables the first one whose digest is the same."""
    _, first, number = np.unique(np.concatenate([table.digest for table in tables]), return_index=True, return_inverse=True)
    found: list[int] = first[number].tolist()
    return found


def raw(path: Path) -> bytearray:
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("snaplen", [262144, 160])
def test_no_payload_is_left_and_all_else_is(tmp_path: Path, snaplen: int, *, turned: bool) -> None:
    files = captures(tmp_path, snaplen)
    before = read(files)
    assert scrub(files[::-1] if turned else files, vxlan_ports={4789}, inside={POD}) == [None, None]
    after = read(files)
    for _, path in files:
        content = path.read_bytes()
        assert not any(SECRET[:length] in content for length in range(4, len(SECRET)))
        assert b"kubernetes" in content
    for one, two in zip(before, after, strict=True):
        assert one.payload_bytes.tolist() == two.payload_bytes.tolist()
        assert one.notices.code.tolist() == two.notices.code.tolist() == [503]
        assert one.icmp_quotes.row.tolist() == two.icmp_quotes.row.tolist()
        assert len(two.icmp_quotes.row)
    pod, nic = after
    assert pod.digest.tolist() == nic.digest.tolist()
    assert alike(after) == alike(before)


def test_a_file_whose_packets_were_cut_shorter_has_the_others_come_again(tmp_path: Path) -> None:
    """As at the NIC, where headers leave less of the payload: it is compared by what all files hold."""
    payloads = [SECRET * 6 + bytes([number]) * 40 for number in range(3)]
    write(tmp_path / POD.interface, [packet(datagram(each), UDP) for each in payloads], 128)
    write(tmp_path / NIC.interface, [encapsulated(packet(datagram(each), UDP)) for each in payloads], 128)
    files = [(tap, tmp_path / tap.interface) for tap in (POD, NIC)]
    before = alike(read(files))
    scrubber = Scrubber(vxlan_ports={4789}, inside={POD})
    contents = {tap: raw(path) for tap, path in files}
    for tap in (POD, NIC):
        scrubber.scrub(tap, contents[tap].copy())
    assert scrubber.stale == {POD}
    scrubber.scrub(POD, contents[POD].copy())
    assert scrubber.stale == frozenset()
    assert scrub(files, vxlan_ports={4789}, inside={POD}) == [None, None]
    assert alike(read(files)) == before


@pytest.mark.parametrize("order", [(POD, NIC), (NIC, POD)])
def test_dns_behind_another_port_stays_too(tmp_path: Path, order: tuple[Tap, Tap]) -> None:
    """A Service's port 53 may be any port of its pods: the same question is the same on both sides of the translation."""
    question = frames.dns_question("kubernetes.default")
    ports = {POD: 53, NIC: 10053}
    for tap in order:
        write(tmp_path / tap.interface, [packet(datagram(question, ports[tap]), UDP), packet(datagram(SECRET), UDP)])
    files = [(tap, tmp_path / tap.interface) for tap in order]
    assert scrub(files, vxlan_ports={4789}, inside={POD}) == [None, None]
    one, two = read(files)
    assert one.digest.tolist() == two.digest.tolist()
    assert all(b"kubernetes" in path.read_bytes() and SECRET not in path.read_bytes() for _, path in files)


def test_other_ports_of_vxlan_make_what_was_done_stale(tmp_path: Path) -> None:
    scrubber = Scrubber(vxlan_ports={4789}, inside=())
    write(tmp_path / "a", [encapsulated(PACKETS[0])])
    scrubber.scrub(NIC, raw(tmp_path / "a"))
    scrubber.read_as({4789})
    assert scrubber.stale == frozenset()
    scrubber.read_as({4789, 8472})
    assert scrubber.stale == {NIC}


def test_every_form_of_a_file(tmp_path: Path) -> None:
    for path in (each for each in corpus.write(tmp_path) if each.suffix == ".pcap"):
        table = read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS)
        assert scrub([(NIC, path)], vxlan_ports=corpus.VXLAN_PORTS) == [None], path.name
        again = read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS)
        assert again.kind.tolist() == table.kind.tolist()


@pytest.mark.parametrize("cut", range(1, 40))
def test_nothing_of_a_record_that_a_file_ends_inside_is_left(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "a", [packet(datagram(SECRET * 2), UDP)] * 2)
    whole = raw(tmp_path / "a")
    made = Scrubber(vxlan_ports={4789}, inside=()).scrub(NIC, whole[:-cut])
    assert SECRET[:4] not in made
    one, two = read_pcap(whole[:-cut]), read_pcap(made)
    assert (len(two), two.stopped_at) == (len(one), one.stopped_at) == (1, len(whole) - len(whole[24:]) // 2)


@pytest.mark.parametrize("seed", range(5))
def test_hostile_files_are_scrubbed_or_refused(seed: int) -> None:
    files = Files(seed, SEEDS)
    scrubber = Scrubber(vxlan_ports={4789}, inside=())
    for number in range(60):
        content = bytearray(files.draw())
        try:
            table = read_pcap(content)
            made = scrubber.scrub(Tap(node="a", interface=str(number)), content.copy())
        except PcapError:
            continue
        assert len(read_pcap(made)) == len(table)


def test_what_is_no_capture_is_refused_and_what_is_empty_is_not() -> None:
    scrubber = Scrubber(vxlan_ports={4789}, inside=())
    for content in (SECRET, b"\xd4\xc3\xb2\xa1" + SECRET[:10], b"\x1f\x8b" + SECRET):
        with pytest.raises(PcapError):
            scrubber.scrub(NIC, bytearray(content))
    assert scrubber.scrub(NIC, bytearray()) == b""
    assert scrubber.stale == frozenset()


def test_a_refused_file_changes_nothing_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod, path), (nic, other) = captures(tmp_path)
    scrubber = Scrubber(vxlan_ports={4789}, inside={POD})
    with monkeypatch.context() as patch:
        patch.setattr(scrubbing, "_overwrite", lambda content, *_: content.__setitem__(slice(60, 70), bytes(10)))
        with pytest.raises(PcapError, match="read otherwise"):
            scrubber.scrub(nic, raw(other))
    for tap, file in ((pod, path), (nic, other)):
        file.write_bytes(scrubber.scrub(tap, raw(file)))
    one, two = read([(pod, path), (nic, other)])
    assert one.digest.tolist() == two.digest.tolist()
