import resource
import shutil
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.packets import read_pcap, tshark
from kubectl_vxtrace.packets.dissect import DissectError, dissect, tshark_available
from tests.packets import oracle
from tests.packets.test_headers import A, B, in_vxlan, udp_packet
from tests.wire import frames, links

OUTER = "eth / ip 10.128.0.72 > 10.128.0.95 / udp 50123 > {port} / vxlan 4096 / "
INNER = f"eth / ip {A} > {B} / udp 41234 > 53 / dns query A kotsadm-rqlite"


@pytest.fixture
def sample(tmp_path: Path) -> tuple[Path, PacketTable]:
    question = frames.ethernet(udp_packet(frames.dns_question("kotsadm-rqlite")))
    tcp = frames.tcp(b"GET / HTTP/1.1\r\n\r\n", source=4000, destination=80, seq=5, flags=frames.PSH | frames.ACK)
    packets = [
        question,
        in_vxlan(question),
        in_vxlan(question, port=8472),
        in_vxlan(frames.ethernet(frames.ipv4(tcp, source=A, destination=B, protocol=6))),
        frames.ethernet(frames.arp(sender=A, target=B), ethertype=frames.ARP),
        frames.ethernet(frames.ipv4(frames.echo(7, 3), source=A, destination=B, protocol=1)),
        frames.ethernet(udp_packet(frames.dns_question("a\x1b[0m<&"))),
    ]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(n, packet) for n, packet in enumerate(packets)])
    return path, read_pcap(path)


@oracle.needs_tshark
def test_layers_from_the_outside_in(sample: tuple[Path, PacketTable]) -> None:
    path, table = sample
    lines = dissect(path, table, range(len(table)), vxlan_ports=(4789, 8472))
    assert list(lines) == list(range(7))
    assert lines[0] == INNER
    assert lines[1] == OUTER.format(port=4789) + INNER
    assert lines[2] == OUTER.format(port=8472) + INNER
    assert "/ tcp 4000 > 80 [PSH, ACK] seq 5 len 18 / http GET / HTTP/1.1" in lines[3]
    assert lines[4] == f"eth / arp request {A} > {B}"
    assert "icmp Echo (ping) request" in lines[5]
    assert lines[5].endswith("seq 3")
    assert all(line.isascii() and line.isprintable() for line in lines.values())


@oracle.needs_tshark
def test_tunnels_on_a_port_that_nobody_told_and_on_links_without_ethernet(tmp_path: Path) -> None:
    wrapped = in_vxlan(frames.ethernet(udp_packet(frames.dns_question("kotsadm-rqlite"))), port=14_789)
    blocks = [frames.pcapng_section(), *(frames.pcapng_interface(link_type=number) for number in (1, links.RAW, links.SLL2))]
    packets = (wrapped, wrapped[14:], links.sll2(wrapped[14:], interface=3))
    blocks += [frames.pcapng_packet(1, packet, interface=number) for number, packet in enumerate(packets)]
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"".join(blocks))
    lines = dissect(path, read_pcap(path), range(3), vxlan_ports=(4789,))
    said = OUTER.format(port=14_789).removeprefix("eth / ") + INNER
    assert lines[0] == f"eth / {said}"
    assert all(lines[row].endswith(said) for row in (1, 2))


@oracle.needs_tshark
def test_an_icmpv6_echo_reads_as_one_of_icmp(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    one, two = "fd00::1", "fd00::2"
    echo = frames.icmp(128, rest=b"\0\7\0\3", payload=bytes(8))  # its checksum is not one of ICMPv6, which the dissection leaves aside
    frames.write_pcap(path, [(0, frames.ethernet(frames.ipv6(echo, source=one, destination=two, protocol=58), ethertype=frames.IPV6))])
    lines = dissect(path, read_pcap(path), [0], vxlan_ports=(4789,))
    assert lines[0] == f"eth / ipv6 {one} > {two} / icmpv6 Echo (ping) request seq 3"


@oracle.needs_tshark
def test_rows_keep_their_numbers(sample: tuple[Path, PacketTable]) -> None:
    path, table = sample
    lines = dissect(path, table, [4, 1, 4], vxlan_ports=(4789,))
    assert list(lines) == [4, 1]
    assert lines[4].startswith("eth / arp")
    assert dissect(path, table, [], vxlan_ports=(4789,)) == {}


@oracle.needs_tshark
def test_in_another_thread(sample: tuple[Path, PacketTable]) -> None:
    path, table = sample
    found: dict[int, str] = {}
    thread = threading.Thread(target=lambda: found.update(dissect(path, table, [1], vxlan_ports=(4789,))))
    thread.start()
    thread.join(30)
    assert found[1].endswith("dns query A kotsadm-rqlite")


def fake_tshark(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program of that name."""
    program = folder / "bin" / "tshark"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_no_tshark(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not tshark_available()
    with pytest.raises(DissectError, match="not installed") as raised:
        dissect(*sample, [0], vxlan_ports=(4789,))
    assert "install tshark" in raised.value.hint


def test_tshark_that_fails(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tshark(tmp_path, monkeypatch, "echo cannot >&2; exit 2")
    with pytest.raises(DissectError, match=r"could not dissect the packets: cannot$"):
        dissect(*sample, [0], vxlan_ports=(4789,))


def test_tshark_that_says_nothing(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tshark(tmp_path, monkeypatch, "echo '<pdml></pdml>'")
    assert dissect(*sample, [0], vxlan_ports=(4789,)) == {}


FIELDS = "".join(f'<field name="{name}" show="1" value="1.0" size="1"/>' for name in ("num", "len", "caplen", "timestamp"))
PACKET = f'<packet><proto name="geninfo">{FIELDS}</proto><proto name="frame"/><proto name="eth"/></packet>'


def test_tshark_that_hangs_or_dies_after_the_first_packet(
    sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tshark, "TIMEOUT_S", 1.0)
    fake_tshark(tmp_path, monkeypatch, f"echo '<pdml>{PACKET}'; [ -e {tmp_path}/die ] && sleep 0.3 && exit 2; exec sleep 30")
    assert dissect(*sample, [3, 4], vxlan_ports=(4789,)) == {3: "eth"}
    (tmp_path / "die").touch()
    assert dissect(*sample, [3, 4], vxlan_ports=(4789,)) == {3: "eth"}


def test_tshark_that_hangs(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tshark, "TIMEOUT_S", 0.5)
    fake_tshark(tmp_path, monkeypatch, "exec sleep 30")
    with pytest.raises(DissectError, match="longer than"):
        dissect(*sample, [0], vxlan_ports=(4789,))


PYTHON = f"exec {sys.executable} -c"
GREEDY = f"{PYTHON} 'import sys; sys.stdout.write(sys.argv[1]); sys.stdout.flush(); bytearray(3 << 30)' '<pdml>{PACKET}'"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(f"{PYTHON} 'bytearray(3 << 30)'", "MemoryError", id="memory"),
        pytest.param("yes '<field/>'", "it said more than 8 MiB", id="one packet without end"),
        pytest.param(f"yes '{PACKET}<junk>' | tr -d '>'", "it said more than 8 MiB", id="no packet without end"),
        pytest.param("echo secret >&2; kill -9 $$", "it was ended by signal 9", id="killed"),
        pytest.param("echo '<packet>x</packet>'", "what it says cannot be read: ", id="no PDML"),
        pytest.param("yes spam >&2", "it (was ended by signal|took longer|ended)|File too large", id="stderr without end"),
        pytest.param("printf '\\033[31mred\\n' >&2; exit 1", r"\\x1b\[31mred$", id="escape sequences"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2) is Linux's")
def test_tshark_is_bounded(
    body: str,
    said: str,
    sample: tuple[Path, PacketTable],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tshark, "TIMEOUT_S", 5.0)
    fake_tshark(tmp_path, monkeypatch, body)
    with pytest.raises(DissectError, match=said):
        dissect(*sample, [0], vxlan_ports=(4789,))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2) is Linux's")
def test_what_came_before_the_bound_counts(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tshark(tmp_path, monkeypatch, GREEDY)
    assert dissect(*sample, [3, 4], vxlan_ports=(4789,)) == {3: "eth"}


def test_packets_without_end(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tshark, "_MOST_OUTPUT_BYTES", 1 << 20)
    fake_tshark(tmp_path, monkeypatch, f"exec yes '{PACKET}'")
    assert dissect(*sample, [3, 4], vxlan_ports=(4789,)) == {3: "eth", 4: "eth"}


@pytest.mark.skipif(sys.platform == "win32", reason="there it has no session")
@pytest.mark.parametrize("what", ["yes spam >&2", "sleep 30", "yes '<field/>'"])
def test_what_it_started_ends_with_it_and_fills_no_disk(
    what: str, sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that is called tshark: its children are bound by nothing that was set for it after they began."""
    monkeypatch.delattr(resource, "prlimit", raising=False)
    monkeypatch.setattr(tshark, "TIMEOUT_S", 1.0)
    fake_tshark(tmp_path, monkeypatch, f"{what} &\necho $! >{tmp_path}/child\nwait")
    with pytest.raises(DissectError):
        dissect(*sample, [0], vxlan_ports=(4789,))
    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    until = time.monotonic() + 5
    while child.exists() and "State:\tZ" not in (child / "status").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert not child.exists() or "State:\tZ" in (child / "status").read_text()


def test_without_prlimit_time_is_bounded(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(resource, "prlimit", raising=False)
    monkeypatch.setattr(tshark, "TIMEOUT_S", 0.5)
    fake_tshark(tmp_path, monkeypatch, "exec sleep 30")
    with pytest.raises(DissectError, match="longer than"):
        dissect(*sample, [0], vxlan_ports=(4789,))


def test_nothing_is_left_among_temporary_files(sample: tuple[Path, PacketTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    fake_tshark(tmp_path, monkeypatch, f"[ -z \"$(ls {tmp_path}/temporary)\" ] && echo '<pdml>{PACKET}'")
    assert dissect(*sample, [3], vxlan_ports=(4789,)) == {3: "eth"}


def test_available() -> None:
    assert tshark_available() == (shutil.which("tshark") is not None)
