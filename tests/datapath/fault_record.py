"""What a fault of the table is, and the legs on which packets die."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import servers
from .records import Lab, LabNode

Action = Callable[[Lab, LabNode, int], None]  # percent of the packets, 100 = all

BACKENDS = ("calico", "flannel")
ALL_BACKENDS = (*BACKENDS, "cilium")  # nodes of Cilium's shape have neither entries nor a VNI that could be wrong
# {node} is the node that is changed, {peer} the other end, {inner} the hop next to routing (pod, or bridge).
WIRE = "{peer}/underlay>{node}/underlay"
WIRE_OUT = "{node}/underlay>{peer}/underlay"
ENTRY = "{node}/underlay>{node}/vxlan"
PEERS_ENTRY = "{peer}/underlay>{peer}/vxlan"
EXIT = "{node}/vxlan>{node}/underlay"
TO_TUNNEL = "{node}/{inner}>{node}/vxlan"
PEERS_TO_TUNNEL = "{peer}/{inner}>{peer}/vxlan"
TO_POD = "{node}/vxlan>{node}/{inner}"
PEERS_TO_POD = "{peer}/vxlan>{peer}/{inner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of the table.

    Attributes:
        name: the cause's slug; variants append "@...".
        direction: "request" or "reply" of the client's questions: the one that dies.
        leg: "NODE/ROLE>NODE/ROLE" with {node}, {peer}, {inner} as above.
        bridged_leg: the leg where a bridge joins the pods; "": the same.
        apply, undo: make and unmake; both may be run twice.
        at_client: whether the client's node is the one that is changed unless another is named.
        partial: whether it can hit a percentage of the packets.
        remakes_device: whether it replaces the VXLAN device, and with it what other faults changed there.
        needs: asked before anything is changed; raises LabUsageError if the node lacks what the fault breaks.
        partial_cause: the cause where only a part of the packets is hit; None: the same.
        backends: the shapes of nodes on which it can be made.
        stops: kind of process of the DNS pod ("dns", "web") that does not run while the fault is on.
        traffic: arguments of programs/ask.py for what runs in the client's pod while the fault is on, for faults that the standing
            questions do not meet; {dns} is the ClusterIP of kube-dns.
    """

    name: str
    direction: str
    leg: str
    apply: Action
    undo: Action
    bridged_leg: str = ""
    at_client: bool = False
    partial: bool = False
    remakes_device: bool = False
    needs: Callable[[Lab, LabNode], object] | None = None
    partial_cause: str | None = None
    backends: tuple[str, ...] = BACKENDS
    stops: str | None = None
    traffic: tuple[str, ...] = ()

    @property
    def cause(self) -> str:
        """The slug of the cause."""
        return self.name.partition("@")[0]

    def cause_at(self, percent: int) -> str:
        """The slug of the cause where so many of 100 packets are hit."""
        return self.cause if percent == 100 or self.partial_cause is None else self.partial_cause

    def default_node(self, lab: Lab) -> LabNode:
        """The node that is changed unless another is named."""
        return lab.nodes[0 if self.at_client else 1]

    def where(self, lab: Lab, at: LabNode | None = None) -> str:
        """The leg on which packets die, with the default node or another one."""
        node = at or self.default_node(lab)
        leg = self.leg if node.bridge is None or not self.bridged_leg else self.bridged_leg
        return leg.format(node=node.name, peer=peer(lab, node).name, inner="pod" if node.bridge is None else "bridge")


def fault(name: str, direction: str, leg: str, pair: tuple[Action, Action], **more: Any) -> Fault:
    """A line of the table; `more` are the attributes that are not as usual."""
    return Fault(name=name, direction=direction, leg=leg, apply=pair[0], undo=pair[1], **more)


def peer(lab: Lab, node: LabNode) -> LabNode:
    """The node whose traffic a fault of one entry hits: the client's node, or ada-ec-2 seen from there."""
    home = lab.node(servers.client(lab).node or "")
    return home if node.name != home.name else lab.nodes[1]


def both(first: tuple[Action, Action], second: tuple[Action, Action]) -> tuple[Action, Action]:
    """Two changes as one; undone in reverse."""

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        first[0](lab, node, percent)
        second[0](lab, node, percent)

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        second[1](lab, node, percent)
        first[1](lab, node, percent)

    return apply, undo


def at_peer(pair: tuple[Action, Action]) -> tuple[Action, Action]:
    """A change of the other end."""

    def apply(lab: Lab, node: LabNode, percent: int) -> None:
        pair[0](lab, peer(lab, node), percent)

    def undo(lab: Lab, node: LabNode, percent: int) -> None:
        pair[1](lab, peer(lab, node), percent)

    return apply, undo
