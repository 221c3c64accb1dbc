"""Files for the benchmarks."""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.wire import frames

_START_NS = 1_766_000_000_000_000_000
_CONNECTIONS = 20_000


def vxlan_traffic(packets: int, seed: int = 1) -> Iterator[tuple[int, bytes]]:
    """20,000 connections between pods of two nodes, a third UDP, the rest TCP, encapsulated, about 50,000 packets/s."""
    random_ = random.Random(seed)
    time_ns = _START_NS
    for number in range(packets):
        time_ns += random_.randrange(40_000)
        forth = bool(random_.getrandbits(1))
        port = 32768 + random_.randrange(_CONNECTIONS)
        near, far = f"10.244.1.{2 + port % 40}", f"10.244.2.{2 + port % 9}"
        source, destination = (near, far) if forth else (far, near)
        if port % 3 == 0:
            payload = random_.randbytes(random_.randrange(30, 70))
            segment = frames.udp(payload, source=port if forth else 53, destination=53 if forth else port)
            protocol = frames.UDP
        else:
            payload = random_.randbytes(random_.choice((0, 0, 80, 120, 400)))
            segment = frames.tcp(
                payload,
                source=port if forth else 8080,
                destination=8080 if forth else port,
                seq=random_.getrandbits(32),
                ack=random_.getrandbits(32),
                options=b"\x01\x01\x08\x0a" + random_.randbytes(8),
            )
            protocol = frames.TCP
        inner = frames.ipv4(segment, source=source, destination=destination, protocol=protocol, ident=number & 0xFFFF, ttl=63)
        nodes = ("10.128.0.72", "10.128.0.95") if forth else ("10.128.0.95", "10.128.0.72")
        outer = frames.encapsulate(
            frames.ethernet(inner),
            source=nodes[0],
            destination=nodes[1],
            source_port=32768 + port % 16384,
            ident=number * 7 & 0xFFFF,
        )
        yield time_ns, outer


def write_vxlan_traffic(path: Path, packets: int) -> None:
    """A nanosecond pcap of that traffic, cut at 512 bytes as a capture of the plugin is."""
    frames.write_pcap(path, vxlan_traffic(packets), snaplen=512)
