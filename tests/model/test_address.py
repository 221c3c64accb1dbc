import pytest

from kubectl_vxtrace.model.address import address_after, host_port, mac_number, mac_text, packed_address, unique


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


@pytest.mark.parametrize(
    ("text", "following"),
    [
        pytest.param("10.244.1.0", "10.244.1.1", id="IPv4"),
        pytest.param("fd00::ffff", "fd00::1:0", id="IPv6"),
        pytest.param("255.255.255.255", None, id="the last one"),
        pytest.param("ens4", None, id="no address"),
    ],
)
def test_the_address_after_one(text: str, following: str | None) -> None:
    assert address_after(text) == following


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("0a:58:0a:f4:38:81", 0x0A580AF43881, id="small letters"),
        pytest.param("0A:58:0A:F4:38:81", 0x0A580AF43881, id="large letters"),
        pytest.param("00:00:10:86:fe:80:00:00:00:00:00:00:00:02:c9:03:00:a1:b2:c3", None, id="InfiniBand"),
        pytest.param("0a:58:0a:f4:38", None, id="too short"),
        pytest.param("rm -rf", None, id="no MAC address"),
    ],
)
def test_a_mac_address_as_a_number(text: str, number: int | None) -> None:
    assert mac_number(text) == number
    assert number is None or mac_text(number) == text.lower()
