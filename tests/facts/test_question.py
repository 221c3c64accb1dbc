"""The command of a look."""

import pytest

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.facts import look


def test_addresses_are_positional_and_the_script_is_constant() -> None:
    first = look("a", local=["10.244.1.5"], remote=["10.244.2.5"], underlay=["10.128.0.2"], services=["10.96.0.10"], lookups=["10.128.0.9"])
    second = look("b", local=[], remote=[], underlay=[])
    assert first.argv[:2] == ("sh", "-c")
    assert first.argv[2] == second.argv[2]
    assert first.argv[3:] == (
        "vxtrace-look",
        "local:10.244.1.5",
        "remote:10.244.2.5",
        "underlay:10.128.0.2",
        "service:10.96.0.10",
        "lookup:10.128.0.9",
    )
    assert second.argv[3:] == ("vxtrace-look",)
    assert (first.node, first.key) == ("a", "look")


def test_an_address_is_asked_once() -> None:
    command = look("a", local=["10.244.1.5", "10.244.1.5"], remote=[], underlay=[])
    assert command.argv[4:] == ("local:10.244.1.5",)


@pytest.mark.parametrize(
    "hostile", ["", "$(reboot)", "10.244.1.5; id", "10.244.1.5/32", "-4", "fe80::1%eth0", "fe80::1%;id", "10.244.1.5\nroute"]
)
def test_what_is_no_address_is_refused(hostile: str) -> None:
    with pytest.raises(CannotRunError):
        look("a", local=[hostile], remote=[], underlay=[])


def test_tuples_are_of_protocols_with_ports() -> None:
    asked = [("UDP", 53, "10.244.2.5"), ("ICMP", 0, "10.244.2.5"), ("UDP", 53, "10.244.2.5")]
    assert look("a", local=[], remote=[], underlay=[], tuples=asked).argv[4:] == ("tuple:udp,53,10.244.2.5",)
    with pytest.raises(CannotRunError):
        look("a", local=[], remote=[], underlay=[], tuples=[("UDP", 53, "x; id")])
