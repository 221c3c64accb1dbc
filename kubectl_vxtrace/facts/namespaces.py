"""Network namespaces of pods, as the node's kernel tells of them: rtnetlink messages that look.sh prints in hexadecimal."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.model.datapath import PodInterface, PodNamespace

# Numbers are as the node's machine holds them: little-endian everywhere that Kubernetes runs but on s390x.
# include/uapi/linux/rtnetlink.h: struct ifinfomsg, struct ifaddrmsg; if_link.h and if_addr.h: attributes.
_LINK, _ADDRESS = struct.Struct("<BxHiII"), struct.Struct("<BBBBI")
_IFF_UP = 1
_NUMBER_DIGITS = 10
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_STATS64, _IFLA_AF_SPEC, _IFLA_LINK_NETNSID = 1, 3, 4, 5, 23, 26, 37
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_AF_INET, _IFLA_INET_CONF = 2, 1
# struct rtnl_link_stats64, in its order, by the names that `ip -s -s link` gives them; what says nothing of lost packets is left out.
_STATISTICS = ("rx.packets", "tx.packets", "rx.bytes", "tx.bytes", "rx.errors", "tx.errors", "rx.dropped", "tx.dropped")
_LATER_STATISTICS = {23: "rx.nohandler", 24: "rx.otherhost"}
# include/uapi/linux/ip.h, IPV4_DEVCONF_*, counted from 1.
_SETTINGS = {1: "forwarding", 3: "proxy_arp", 8: "rp_filter", 11: "log_martians", 19: "arp_ignore", 23: "accept_local"}


def read_namespaces(raw: bytes) -> tuple[PodNamespace, ...]:
    """The namespaces in lines of `NUMBER addr|link MESSAGE`.

    Raises:
        UnreadableError: a line or a message is not whole.
    """
    links: dict[int, list[PodInterface]] = {}
    prefixes: dict[tuple[int, int], list[str]] = {}
    for number, kind, message in _messages(raw):
        if kind == "link":
            links.setdefault(number, []).append(_interface(message))
        else:
            index, prefix = _prefix(message)
            prefixes.setdefault((number, index), []).append(prefix)
    return tuple(PodNamespace(id=number, interfaces=tuple(_with_prefixes(number, found, prefixes))) for number, found in links.items())


def _with_prefixes(number: int, found: Iterable[PodInterface], prefixes: dict[tuple[int, int], list[str]]) -> Iterator[PodInterface]:
    for interface in found:
        yield replace(interface, prefixes=tuple(prefixes.get((number, interface.index), ())))


def _messages(raw: bytes) -> Iterator[tuple[int, str, bytes]]:
    for line in raw.decode("ascii", "replace").splitlines():
        words = line.split()
        try:
            number, kind, message = int(words[0][:_NUMBER_DIGITS]), words[1], bytes.fromhex(words[2])
        except (ValueError, IndexError):
            raise UnreadableError("a message about another namespace is not whole") from None
        if kind in ("link", "addr"):
            yield number, kind, message


def _attributes(message: bytes, start: int) -> dict[int, bytes]:
    """The attributes behind a message's head: length and type, each 16 bits, then the value, padded to four bytes."""
    found = {}
    while start + 4 <= len(message):
        length, kind = struct.unpack_from("<HH", message, start)
        if length < 4 or start + length > len(message):
            raise UnreadableError("a message about another namespace is not whole")
        found[kind & 0x3FFF] = message[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def _interface(message: bytes) -> PodInterface:
    if len(message) < _LINK.size:
        raise UnreadableError("a message about another namespace is not whole")
    _, _, index, flags, _ = _LINK.unpack_from(message)
    said = _attributes(message, _LINK.size)
    mac = said.get(_IFLA_ADDRESS, b"")
    return PodInterface(
        name=said.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace"),
        index=index,
        # Two ends in the same namespace are no way out of it.
        host_index=_number(said.get(_IFLA_LINK, b"")) if _IFLA_LINK_NETNSID in said else None,
        mac=mac.hex(":") if len(mac) == 6 else None,
        mtu_bytes=_number(said.get(_IFLA_MTU, b"")),
        up=bool(flags & _IFF_UP),
        counters=_counters(said.get(_IFLA_STATS64, b"")),
        settings=_settings(said.get(_IFLA_AF_SPEC, b"")),
    )


def _counters(raw: bytes) -> dict[str, int]:
    values = struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
    counters = dict(zip(_STATISTICS, values, strict=False))
    counters.update({name: values[place] for place, name in _LATER_STATISTICS.items() if place < len(values)})
    return counters


def _settings(raw: bytes) -> dict[str, int]:
    own = _attributes(raw, 0).get(_AF_INET, b"")
    values = _attributes(own, 0).get(_IFLA_INET_CONF, b"")
    numbers = struct.unpack(f"<{len(values) // 4}i", values[: len(values) // 4 * 4])
    return {name: numbers[place - 1] for place, name in _SETTINGS.items() if place <= len(numbers)}


def _number(raw: bytes) -> int | None:
    return int.from_bytes(raw, "little") if len(raw) == 4 else None


def _prefix(message: bytes) -> tuple[int, str]:
    """The interface's index and its address with the prefix length; of two ends of a link, the own one is the local."""
    if len(message) < _ADDRESS.size:
        raise UnreadableError("a message about another namespace is not whole")
    _, length, _, _, index = _ADDRESS.unpack_from(message)
    said = _attributes(message, _ADDRESS.size)
    packed = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS) or b""
    if len(packed) not in (4, 16):
        raise UnreadableError("an address in another namespace is not whole")
    return index, f"{ip_address(packed)}/{length}"
