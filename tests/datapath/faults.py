"""The faults that can be switched on by name: what each breaks, where packets then die, and how all is mended."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import fault_actions as actions
from . import servers
from .fault_actions import Action
from .records import Lab, LabNode, write_json
from .tools import LabError, LabUsageError

STATE_FILE = "faults.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of the table.

    Attributes:
        name: the cause's slug; variants append "@...".
        direction: "request" or "reply" of the client's DNS questions: the one that dies.
        leg: "NODE/ROLE>NODE/ROLE" with {node} the node that is changed, {peer} the other end, {inner} the hop next to routing (pod, or
            bridge).
        apply, undo: make and unmake; both may be run twice.
        at_client: whether the client's node is the one that is changed unless another is named.
        partial: whether it can hit a percentage of the packets.
        remakes_device: whether it replaces the VXLAN device, and with it what other faults changed there.
        needs: asked before anything is changed; raises LabUsageError if the node lacks what the fault breaks.
        partial_cause: the cause where only a part of the packets is hit; None: the same.
        backends: the shapes of nodes on which it can be made.
        target: what the client asks when it meets the fault.
        traffic: arguments of a program (servers.program) that runs in the client's pod while the fault is on, for those that the standing
            questions do not meet.
    """

    name: str
    direction: str
    leg: str
    apply: Action
    undo: Action
    at_client: bool = False
    partial: bool = False
    remakes_device: bool = False
    needs: Callable[[Lab, LabNode], object] | None = None
    partial_cause: str | None = None
    backends: tuple[str, ...] = ("calico", "flannel")
    target: str = "kube-dns"
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
        return self.leg.format(node=node.name, peer=actions.peer(lab, node).name, inner="pod" if node.bridge is None else "bridge")


WIRE = "{peer}/underlay>{node}/underlay"
ENTRY = "{node}/underlay>{node}/vxlan"

_BLOCK = (actions.block_underlay, actions.unblock_underlay)
_DROP = actions.input_rule(actions.drop_vxlan)
_REJECT = actions.input_rule(actions.reject_vxlan)
_FDB = (actions.forget_fdb, actions.restore_fdb)
_NEIGHBOUR = (actions.forget_neighbour, actions.restore_neighbour)
_INGRESS = actions.policy("ingress", actions.dns_pod)
_EGRESS = actions.policy("egress", actions.client_pod)


def _fault(name: str, direction: str, leg: str, pair: tuple[Action, Action], **more: Any) -> Fault:
    return Fault(name=name, direction=direction, leg=leg, apply=pair[0], undo=pair[1], **more)


FAULTS = (
    _fault("underlay-udp-blocked", "request", WIRE, _BLOCK, partial=True, partial_cause="underlay-loss"),
    _fault("underlay-udp-blocked@reply", "reply", WIRE, _BLOCK, partial=True, at_client=True, partial_cause="underlay-loss"),
    _fault("host-firewall", "request", ENTRY, _DROP, partial=True),
    _fault("host-firewall@reply", "reply", ENTRY, _DROP, partial=True, at_client=True),
    _fault("host-firewall@nft", "request", ENTRY, (actions.nft_firewall, actions.no_nft_firewall), partial=True),
    _fault("host-firewall@reject", "request", ENTRY, _REJECT, partial=True),
    _fault("vni-mismatch", "request", ENTRY, (actions.wrong_vni, actions.right_device), remakes_device=True),
    _fault("vxlan-port-mismatch", "request", ENTRY, (actions.wrong_port, actions.right_device), remakes_device=True),
    _fault("fdb-missing", "reply", "{node}/vxlan>{node}/underlay", _FDB),
    _fault("fdb-missing@request", "request", "{node}/vxlan>{node}/underlay", _FDB, at_client=True),
    _fault("neighbour-missing", "reply", "{node}/{inner}>{node}/vxlan", _NEIGHBOUR),
    _fault("neighbour-missing@request", "request", "{node}/{inner}>{node}/vxlan", _NEIGHBOUR, at_client=True),
    _fault("network-policy-drop", "request", "{node}/vxlan>{node}/{inner}", _INGRESS, needs=actions.dns_pod),
    _fault("network-policy-drop@egress", "request", "{node}/{inner}>{node}/vxlan", _EGRESS, at_client=True, needs=actions.client_pod),
    _fault("nothing-listening", "request", "{node}/pod>-", (actions.stop_dns, actions.start_dns), needs=actions.dns_pod),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A fault that is on."""

    name: str
    node: str
    percent: int


def find(name: str) -> Fault:
    """The fault of that name.

    Raises:
        LabUsageError: there is none; the text lists all.
    """
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise LabUsageError(f"no fault is called {name!r}; there are: " + ", ".join(fault.name for fault in FAULTS))


def active(directory: Path) -> tuple[Active, ...]:
    """The faults that are on, in the order in which they were switched on."""
    path = directory / STATE_FILE
    return tuple(Active(**item) for item in json.loads(path.read_text())) if path.exists() else ()


def switch_on(lab: Lab, name: str, node: str | None, percent: int | None) -> tuple[Active, bool]:
    """Switch a fault on; with another percentage than before, anew. The second value says whether anything changed.

    Raises:
        LabUsageError: no such fault or node, or a percentage that this fault cannot have.
        LabError: it clashes with one that is on, or a command failed (`heal` then undoes what was done).
    """
    fault = find(name)
    target = _node(lab, node) if node is not None else fault.default_node(lab)
    if percent is not None and (not fault.partial or not 1 <= percent <= 100):
        raise LabUsageError(f"--percent {percent}: " + ("from 1 to 100" if fault.partial else f"{name} is all or nothing"))
    if fault.needs is not None:
        fault.needs(lab, target)
    wanted = Active(name=name, node=target.name, percent=percent or 100)
    on = active(Path(lab.state_dir))
    if wanted in on:
        return wanted, False
    for other in on:
        if other.node == wanted.node and other.name != name and fault.remakes_device and find(other.name).remakes_device:
            raise LabError(f"{other.name} is on at {other.node} and has changed the same device; heal first")
    for other in on:
        if (other.name, other.node) == (wanted.name, wanted.node):
            _switch_off(lab, other)
    _record(lab, (*active(Path(lab.state_dir)), wanted))
    fault.apply(lab, target, wanted.percent)
    if fault.remakes_device:
        for other in on:
            if other.node == wanted.node:
                find(other.name).apply(lab, target, other.percent)
    return wanted, True


def heal(lab: Lab) -> tuple[Active, ...]:
    """Undo every fault that is on, the last first; returns them.

    Raises:
        LabError: some could not be undone; those stay on record.
    """
    done, trouble = [], []
    for fault in reversed(active(Path(lab.state_dir))):
        try:
            _switch_off(lab, fault)
        except LabError as error:
            trouble.append(f"{fault.name} at {fault.node}: {error}")
        else:
            done.append(fault)
    if trouble:
        raise LabError("\n".join([*trouble, "what could not be undone: `down`, then `up`, makes the lab anew"]))
    return tuple(done)


def stopped(lab: Lab) -> set[str]:
    """Names of the processes that do not run because of a fault that is on."""
    on = active(Path(lab.state_dir))
    nodes = [lab.node(fault.node) for fault in on if find(fault.name).cause == "nothing-listening"]
    return {servers.dns_name(actions.dns_pod(lab, node)) for node in nodes}


def _switch_off(lab: Lab, fault: Active) -> None:
    find(fault.name).undo(lab, lab.node(fault.node), fault.percent)
    _record(lab, tuple(other for other in active(Path(lab.state_dir)) if other != fault))


def _record(lab: Lab, faults: tuple[Active, ...]) -> None:
    write_json(Path(lab.state_dir) / STATE_FILE, [asdict(fault) for fault in faults])


def _node(lab: Lab, name: str) -> LabNode:
    try:
        return lab.node(name)
    except KeyError:
        raise LabUsageError(f"no node is called {name!r}; there are: " + ", ".join(node.name for node in lab.nodes)) from None
