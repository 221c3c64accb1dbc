import pytest

from kubectl_vxtrace.model.address import host_port, packed_address, unique


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("10.0.0.1", bytes(10) + b"\xff\xff\x0a\x00\x00\x01"),
        ("::ffff:10.0.0.1", bytes(10) + b"\xff\xff\x0a\x00\x00\x01"),
        ("fd00::1", b"\xfd" + bytes(14) + b"\x01"),
        ("node-a", None),
        ("", None),
    ],
)
def test_both_families_take_sixteen_bytes(text: str, packed: bytes | None) -> None:
    assert packed_address(text) == packed


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [("10.0.0.1", 53, "10.0.0.1:53"), ("fd00::1", 53, "[fd00::1]:53"), ("fd00::1", None, "fd00::1"), ("10.0.0.1", 0, "10.0.0.1:0")],
)
def test_ipv6_stands_in_brackets_before_a_port(address: str, port: int | None, text: str) -> None:
    assert host_port(address, port) == text


def test_the_first_of_each_stays() -> None:
    assert unique(["b", None, "a", "b", ""]) == ("b", "a")
