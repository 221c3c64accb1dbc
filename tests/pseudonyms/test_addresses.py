"""Addresses for addresses: prefixes and meanings are kept, nothing else."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.pseudonyms.addresses import Addresses

KEYS = st.binary(min_size=32, max_size=32)
KEY = bytes(range(32))


def common(one: int, two: int, width: int) -> int:
    """How many first bits two addresses share."""
    return width - (one ^ two).bit_length()


@given(KEYS, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_two_ipv4_addresses_share_as_many_bits_as_before(key: bytes, one: int, two: int, shared: int) -> None:
    two = two if shared == 0 else (one >> (32 - shared) << (32 - shared)) | (two & ((1 << (32 - shared)) - 1))
    addresses = Addresses(key)
    assert common(addresses.ipv4(one), addresses.ipv4(two), 32) == common(one, two, 32)


@given(KEYS, st.integers(0x2 << 124, (0x4 << 124) - 1), st.integers(0, 2**64 - 1))
def test_two_ipv6_addresses_of_a_network_stay_in_one(key: bytes, one: int, host: int) -> None:
    addresses, two = Addresses(key), (one >> 64 << 64) | host
    assert common(addresses.ipv6(one), addresses.ipv6(two), 128) == common(one, two, 128)
    assert addresses.ipv6(one) >> 125 == 1


@given(KEYS, st.integers(0, 2**32 - 1))
def test_an_address_means_what_it_meant(key: bytes, number: int) -> None:
    before, after = ip_address(number), ip_address(Addresses(key).ipv4(number))
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4"):
        assert (before in ip_network(network)) == (after in ip_network(network))


def test_special_addresses_stay_as_they_are() -> None:
    addresses = Addresses(KEY)
    for text in ("0.0.0.0", "127.0.0.1", "169.254.1.1", "169.254.20.10", "224.0.0.251", "255.255.255.255"):
        assert addresses.ipv4(int(ip_address(text))) == int(ip_address(text))
    for text in ("::", "::1", "ff02::1", "fe80::1"):
        assert addresses.ipv6(int(ip_address(text))) == int(ip_address(text))
    for mac in (0, 0xFFFF_FFFF_FFFF, 0xEEEE_EEEE_EEEE, 0x0100_5E00_0001, 0x3333_0000_0001):
        assert addresses.mac(mac) == mac


def test_a_mac_keeps_the_bit_for_local_and_is_hidden_otherwise() -> None:
    addresses = Addresses(KEY)
    assert addresses.mac(0x5258_71CE_A18B) >> 40 & 3 == 2
    assert addresses.mac(0x0016_3E5E_6C00) >> 40 & 3 == 0
    assert addresses.mac(0x5258_71CE_A18B) >> 24 != 0x525871


def test_what_is_made_of_an_address_is_made_of_its_pseudonym() -> None:
    addresses = Addresses(KEY)
    mac = addresses.mac(0x5258_71CE_A18B)
    link_local = addresses.ipv6(int(ip_address("fe80::5058:71ff:fece:a18b")))
    assert link_local & 0xFFFFFF == mac & 0xFFFFFF
    assert (link_local >> 40 & 0xFFFFFF) ^ 0x020000 == mac >> 24
    unicast = int(ip_address("fd00::15"))
    addresses.learn([unicast])
    assert addresses.ipv6(int(ip_address("ff02::1:ff00:15"))) & 0xFFFFFF == addresses.ipv6(unicast) & 0xFFFFFF
    assert addresses.mac(0x3333_FF00_0015) & 0xFFFFFF == addresses.ipv6(unicast) & 0xFFFFFF
    mapped = addresses.ipv6(int(ip_address("::ffff:10.1.2.3")))
    assert mapped & 0xFFFFFFFF == addresses.ipv4(int(ip_address("10.1.2.3")))


def test_a_network_is_one_afterwards_and_holds_whom_it_held() -> None:
    addresses = Addresses(KEY)
    network = addresses.network(int(ip_address("10.244.56.128")), 26, 32)
    assert network & 0x3F == 0
    assert addresses.ipv4(int(ip_address("10.244.56.131"))) >> 6 << 6 == network
    host = int(ip_address("10.128.0.72"))
    assert addresses.network(host, 24, 32) == addresses.ipv4(host)


def test_another_key_makes_other_addresses() -> None:
    number = int(ip_address("10.244.56.131"))
    assert len({Addresses(bytes([key]) * 32).ipv4(number) for key in range(20)}) == 20
