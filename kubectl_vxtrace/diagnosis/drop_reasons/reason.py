"""What a reason of the kernel for a drop is: a row of the table."""

from dataclasses import dataclass
from enum import IntEnum


class Stage(IntEnum):
    """Where in a node a packet is, in the order in which it gets there.

    What is received passes the first ones up to ROUTE_INPUT; what is forwarded goes on with FORWARD and from POSTROUTING on, what is for
    the node itself with LOCAL_IN. What the node sends begins with LOCAL_OUT; so does what a tunnel device sends, behind its TUNNEL_OUT.
    Taps (packet sockets) lie between XDP and TC_INGRESS, and between QDISC and DEVICE (__netif_receive_skb_core and xmit_one in
    net/core/dev.c).
    """

    DRIVER = 1
    XDP = 2
    TC_INGRESS = 3
    BRIDGE = 4
    IP_INPUT = 5
    PREROUTING = 6
    ROUTE_INPUT = 7
    FORWARD = 8
    LOCAL_IN = 9
    TRANSPORT = 10
    SOCKET = 11
    TUNNEL_IN = 12
    LOCAL_OUT = 13
    POSTROUTING = 14
    NEIGHBOUR = 15
    TC_EGRESS = 16
    QDISC = 17
    DEVICE = 18
    TUNNEL_OUT = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReason:
    """A reason that the tracepoint skb:kfree_skb names, and what it means for a packet between pods.

    Attributes:
        name: as the kernel prints it, without SKB_DROP_REASON_.
        since: the first Linux with it; stable and enterprise kernels have taken many from later ones.
        first, last: the stages at which it can be; the same where there is one. It excludes every cause of a stage behind `last`.
        meaning: what happened, as a sentence about the packet.
        look: the command that shows why, on the node that said it.
        cause: the slug of the cause that follows from the reason alone, else None.
        is_loss: whether it admits that a packet did not get where it should; duplicates, copies and what a closed socket held are no loss.
        is_usual: whether a healthy node says it as well, so that one such drop proves nothing.
        function: the only function (without offset) that it is about, for a row that a place in the kernel makes clearer.
    """

    name: str
    since: str
    first: Stage
    last: Stage
    meaning: str
    look: str
    cause: str | None = None
    is_loss: bool = True
    is_usual: bool = False
    function: str | None = None
