"""tcpdump: what may stand in its command, the command and what it says."""

import pytest

from kubectl_vxtrace.capture import tcpdump
from kubectl_vxtrace.capture.tcpdump import checked, file_name, usable_interface
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.path import Role, Tap

_SAID = "tcpdump: listening on ens4, link-type EN10MB (Ethernet), snapshot length 512 bytes\n"
_ENDED = _SAID + "44 packets captured\n1 packet received by filter\n0 packets dropped by kernel\n"


def test_argv() -> None:
    command = tcpdump.argv("ens4", "a.pcap", "udp or arp", role=Role.UNDERLAY, snaplen_bytes=512)
    assert " ".join(command) == "tcpdump -p --immediate-mode -U -nn -s 512 -B 16384 -i ens4 -w a.pcap -T vxlan -- udp or arp"
    assert command[-1] == "udp or arp"
    assert "-T" not in tcpdump.argv("cali1", "a.pcap", "arp", role=Role.POD, snaplen_bytes=256)


def test_options_of_the_node_come_first() -> None:
    assert tcpdump.with_options(("tcpdump", "-p"), ("-Z", "root")) == ("tcpdump", "-Z", "root", "-p")


def test_closing_numbers() -> None:
    numbers = tcpdump.closing(_ENDED)
    assert (numbers.captured, numbers.received, numbers.dropped_by_kernel, numbers.whole) == (44, 1, 0, True)
    assert not tcpdump.closing(_SAID).whole
    assert not tcpdump.closing(_SAID + "44 packets captured\n").whole
    assert tcpdump.closing("1 packets captured\n" + _ENDED).captured == 44


def test_what_came_before_the_filter() -> None:
    early = "tcpdump: 2 packets captured, 20 packets received by filter, 0 packets dropped by kernel\n"
    assert tcpdump.received_early(_SAID + early) == 18
    assert tcpdump.received_early(_SAID) == 0
    assert tcpdump.received_early(_SAID + early.replace("2 packets captured", "30 packets captured")) == 0
    assert (tcpdump.closing(_SAID + early).whole, tcpdump.closing(early + _ENDED).received, tcpdump.complaint(early)) == (False, 1, None)


def test_listening() -> None:
    assert tcpdump.listening(_SAID)
    assert not tcpdump.listening("tcpdump: ens9: No such device exists\n")


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("tcpdump: ens9: No such device exists\n(SIOCGIFHWADDR: No such device)", True),
        ("tcpdump: down0: That device is not up", True),
        ("tcpdump: eth0: You don't have permission to capture on that device", False),
        (_SAID, False),
    ],
)
def test_a_device_that_is_gone(said: str, gone: bool) -> None:
    assert tcpdump.device_is_gone(said) is gone


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (_ENDED, None),
        ("", None),
        (_SAID + "tcpdump: pcap_loop: The interface disappeared\n" + "3 packets captured\n", "pcap_loop: The interface disappeared"),
        ("tcpdump: can't parse filter expression: syntax error\n", "can't parse filter expression: syntax error"),
    ],
)
def test_complaint(said: str, complaint: str | None) -> None:
    assert tcpdump.complaint(said) == complaint


@pytest.mark.parametrize(
    ("interface", "role", "taken", "name"),
    [
        ("cali9d8b6a7d855", Role.POD, (), "ada-ec-1-pod.pcap"),
        ("cali2", Role.POD, ("ada-ec-1-pod.pcap",), "ada-ec-1-pod-cali2.pcap"),
        ("cni0", Role.BRIDGE, (), "ada-ec-1-bridge.pcap"),
        ("vxlan.calico", Role.VXLAN, (), "ada-ec-1-vxlan-calico.pcap"),
        ("flannel.1", Role.VXLAN, (), "ada-ec-1-vxlan-flannel-1.pcap"),
        ("ens4", Role.UNDERLAY, (), "ada-ec-1-primary-interface.pcap"),
        ("ens5", Role.UNDERLAY, ("ada-ec-1-primary-interface.pcap",), "ada-ec-1-primary-interface-ens5.pcap"),
        ("", Role.POD, ("ada-ec-1-pod.pcap",), "ada-ec-1-pod-2.pcap"),
        ("../../x", Role.POD, ("ada-ec-1-pod.pcap",), "ada-ec-1-pod-.._.._x.pcap"),
    ],
)
def test_pcaps(interface: str, role: Role, taken: tuple[str, ...], name: str) -> None:
    assert file_name(Tap(node="ada-ec-1", interface=interface), role, taken) == name


def test_a_hostile_node_name_stays_in_the_folder() -> None:
    assert file_name(Tap(node="../etc/passwd", interface="e"), Role.POD, ()) == "_etc_passwd-pod.pcap"
    assert file_name(Tap(node="", interface="e"), Role.POD, ()) == "node-pod.pcap"


@pytest.mark.parametrize("name", ["ens4", "vxlan.calico", "cali9d8b6a7d855", "bond0.100", "veth@if3", "a"])
def test_usable(name: str) -> None:
    assert usable_interface(name)


@pytest.mark.parametrize("name", ["", "-w", "a;id", "a b", "../x", "a" * 16, "$(id)", "eth0\n", ".x"])
def test_not_usable(name: str) -> None:
    assert not usable_interface(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("udp port 53", "udp port 53"), ("  host 10.0.0.1\tand\n tcp ", "host 10.0.0.1 and tcp"), ("ip[2:2]>100", "ip[2:2]>100")],
)
def test_accepted(text: str, expected: str) -> None:
    assert checked(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "-w /etc/passwd", "udp -z /evil.sh", "(-z x)", "port 53 - 1", "udp\x00", "udp\x1b[31m", "h\u00f6st x", "--", "-"]
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checked(text)
