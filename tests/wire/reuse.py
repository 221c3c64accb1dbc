"""A client that asks a server through its Service and directly, from the same ports.

The kernel knows a connection by what replies to it look like: protocol, server and the client's port. While it knows the one, it gives the
other another port (get_unique_tuple in net/netfilter/nf_nat_core.c); once it has forgotten the one, the other keeps its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.wire.places import EPOCH, Shape
from tests.wire.traffic import MS, Numbering, answers, datagrams, numbers
from tests.wire.world import Flow, Packet, World

SHIFT = 1000
"""What is added to a port that clashes."""


def reusing(
    through: Flow,
    direct: Flow,
    *,
    losses: tuple[Sequence[int | None], Sequence[int | None]] = ((), ()),
    later_ns: int = 3 * MS,
    direct_first: bool = False,
    ids: tuple[Iterator[int], Iterator[int]] | None = None,
    payloads: tuple[bytes, bytes] = (b"through the Service %02d", b"to the server itself %02d"),
    shape: Shape = Shape.CALICO,
    count: int = 4,
) -> World:
    """`count` sockets that ask a Service, and then its server directly; all are answered that arrive.

    Args:
        losses: the last hops of questions and of answers, those of the Service first.
        later_ns: how much later each socket asks directly, or (`direct_first`) the Service.
        ids, payloads: of the two; a payload may hold the socket's number.
    """
    ids = ids or (numbers_from(1), numbers_from(900))
    packets: list[Packet] = []
    for flow, first in ((0, 0), (1, count)):
        texts = [payloads[flow] % number if b"%" in payloads[flow] else payloads[flow] for number in range(count)]
        asked = datagrams(
            texts,
            flow=flow,
            start_ns=EPOCH + later_ns * (flow != direct_first),
            ids=ids[flow],
            fates=losses[0][first : first + count],
            ports=_port,
        )
        replies = answers(asked, payload=lambda index: b"answer %02d" % index, fates=losses[1][first : first + count])
        packets += [*asked, *(replace(one, payload=one.payload + texts[0]) for one in replies)]
    return World(flows=(through, replace(direct, server=through.server)), packets=tuple(packets), shape=shape)


def numbers_from(start: int) -> Iterator[int]:
    """IP IDs that count on from `start`."""
    return numbers(Numbering.COUNTER, start)


def _port(index: int) -> int:
    return 40_000 + index
