"""tcpdump's command and what it says."""

import pytest

from kubectl_vxtrace.capture import tcpdump
from kubectl_vxtrace.model.path import Role

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
