"""Rules that drop a share of the traffic between two pods of the lab, and on which leg the plugin has to find that."""

from dataclasses import dataclass

CLIENT, SERVER = "netshoot-k2v8c", "netshoot-m4t7d"
NODES = {CLIENT: "ada-ec-1", SERVER: "ada-ec-2"}
FABRIC = "vxlab-fabric"
PORT, TRAIN_PORT = 7001, 7002
NFLOG_GROUPS = {"request": 5, "reply": 6}
HEAD_BYTES = 120

KINDS = ("tcp", "udp", "train", "ping")
Key = tuple[str, str]
"""Kind and direction."""
Ends = tuple[str, str]
"""`node/role` of both ends of a leg."""


@dataclass(frozen=True)
class Rule:
    """Drops `percent` of a kind's packets of one direction at one place: sender, wire, entry (of the VXLAN packet), receiver.

    At the wire and the entry packets are encapsulated, and fragments are packets of their own.
    """

    kind: str
    direction: str
    place: str
    percent: int

    @property
    def key(self) -> Key:
        return self.kind, self.direction

    def leg(self, backend: str) -> Ends:
        """Where the plugin has to find the loss."""
        names = [NODES[CLIENT], NODES[SERVER]]
        sender, receiver = names if self.direction == "request" else names[::-1]
        inner = "pod" if backend == "calico" else "bridge"
        return {
            "sender": (f"{sender}/{inner}", f"{sender}/vxlan"),
            "wire": (f"{sender}/underlay", f"{receiver}/underlay"),
            "entry": (f"{receiver}/underlay", f"{receiver}/vxlan"),
            "receiver": (f"{receiver}/vxlan", f"{receiver}/{inner}"),
        }[self.place]


def plain(kind: str, direction: str) -> str:
    """nft: matches a kind that is not encapsulated."""
    side = "dport" if direction == "request" else "sport"
    return {
        "tcp": f"tcp {side} {PORT}",
        "udp": f"udp {side} {PORT}",
        "train": f"udp {side} {TRAIN_PORT}",
        "ping": f"icmp type {'echo-request' if direction == 'request' else 'echo-reply'}",
    }[kind]


def share(percent: int) -> str:
    """nft: matches so many percent."""
    return f"numgen random mod 100 < {percent} " if percent < 100 else ""


def number(address: str) -> str:
    """nft: an IPv4 address as raw payload expressions have it."""
    return "0x" + "".join(f"{int(octet):02x}" for octet in address.split("."))


def logs(rule: Rule) -> bool:
    """Whether the heads of what a rule drops are written down: where it may be a super-packet that is not encapsulated."""
    return rule.kind == "tcp" and rule.place in ("sender", "receiver")


def log(rule: Rule) -> str:
    """nft: writes them down."""
    return f"log group {NFLOG_GROUPS[rule.direction]} snaplen {HEAD_BYTES} " if logs(rule) else ""
