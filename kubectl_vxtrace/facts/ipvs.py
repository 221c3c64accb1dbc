"""IPVS: /proc/net/ip_vs (services and their real servers) and /proc/net/ip_vs_conn, as net/netfilter/ipvs writes them."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.model.facts import IpvsBackend, IpvsConnection, IpvsService

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_MOST_PORT = 65535


def read_ipvs(raw: bytes) -> tuple[IpvsService, ...]:
    """The virtual servers, each with its real ones; those by firewall mark (`FWM`) are passed over.

    Raises:
        UnreadableError: it is not that file.
    """
    lines = raw.decode("ascii", "replace").splitlines()
    if not lines or not lines[0].startswith("IP Virtual Server"):
        raise UnreadableError("not /proc/net/ip_vs")
    services: list[IpvsService] = []
    skipping = True
    for line in lines[1:]:
        words = line.split()
        if words[:1] == ["->"]:
            backend = _backend(words)
            if backend is not None and not skipping:
                services[-1] = replace(services[-1], backends=(*services[-1].backends, backend))
            continue
        service = _service(words)
        skipping = service is None
        services += [service] if service is not None else []
    return tuple(services)


def _service(words: list[str]) -> IpvsService | None:
    """`TCP  0A600001:01BB rr`, or `TCP  [fd00:0000:...:0001]:01BB rr`."""
    if len(words) < 3 or words[0] not in _PROTOCOLS or (place := _place(words[1])) is None:
        return None
    return IpvsService(protocol=words[0], address=place[0], port=place[1], scheduler=words[2])


def _backend(words: list[str]) -> IpvsBackend | None:
    """`-> 0A80005F:192B Masq 1 0 0`."""
    if len(words) < 4 or (place := _place(words[1])) is None or not words[3].isdecimal():
        return None
    return IpvsBackend(address=place[0], port=place[1], forward=words[2], weight=int(words[3][:9]))


def read_ipvs_connections(raw: bytes) -> tuple[IpvsConnection, ...]:
    """Lines of /proc/net/ip_vs_conn: `UDP 0AF4724B C350 0A60000A 0035 0AF43881 0035 UDP 283`; others are passed over."""
    return tuple(entry for line in raw.decode("ascii", "replace").splitlines() if (entry := _connection(line.split())) is not None)


def _connection(words: list[str]) -> IpvsConnection | None:
    if len(words) < 9 or words[0] not in _PROTOCOLS:
        return None
    places = [_place(f"{words[index]}:{words[index + 1]}") for index in (1, 3, 5)]
    client, virtual, server = places
    if client is None or virtual is None or server is None:
        return None
    return IpvsConnection(
        protocol=words[0],
        client=client[0],
        client_port=client[1],
        virtual=virtual[0],
        virtual_port=virtual[1],
        server=server[0],
        server_port=server[1],
        state=words[7],
        expires_s=int(words[8]) if words[8].isdecimal() and len(words[8]) < 10 else None,
    )


def _place(word: str) -> tuple[str, int] | None:
    """`0A600001:01BB`: both in hexadecimal; an IPv6 address is spelled out, in brackets in one of the files."""
    address, _, port = word.rpartition(":")
    try:
        number = int(port, 16)
        if not 0 <= number <= _MOST_PORT:
            return None
        if len(address) == 8 and ":" not in address:
            return str(IPv4Address(int(address, 16))), number
        return str(ip_address(address.strip("[]"))), number
    except ValueError:
        return None
