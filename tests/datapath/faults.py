"""The faults that can be switched on by name: what each breaks, where packets then die, and how all is mended."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from . import fault_table, filter_faults, overlay_faults, processes, routing_faults, servers, service_faults, steering, tools, wire_faults
from .fault_record import Fault
from .records import Lab, LabNode, write_json
from .tools import LabError, LabUsageError

STATE_FILE = "faults.json"


# Every fault that can be switched on.
FAULTS: tuple[Fault, ...] = (
    *fault_table.BASIC,
    *overlay_faults.FAULTS,
    *routing_faults.FAULTS,
    *filter_faults.FAULTS,
    *service_faults.FAULTS,
    *wire_faults.FAULTS,
    *steering.FAULTS,
)


# Those that say something of IPv4 itself: its addresses in frames, its header, a setting or a tool that IPv6 lacks. Nor are those made
# that need traffic of their own.
_OF_IPV4 = {
    *("arp-unanswered", "asymmetric-return", "cloud-anti-spoofing", "duplicate-pod-cidr@third", "host-firewall@forward", "nft-legacy-mix"),
    *("nic-tunnel-offload", "no-local-endpoints", "outer-ttl-expired", "pod-firewall", "policy-sees-snat", "rp-filter"),
    *(
        "server-silent@no-route",
        "nothing-listening@unheard",
        "snat-port-collision",
        "vxlan-tx-checksum",
        "workload-anti-spoofing",
        "xdp-drop",
        "zero-udp-checksum-v6",
    ),
}


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


def of(lab: Lab) -> tuple[Fault, ...]:
    """The faults that can be made on a lab of this shape and IP version."""
    return tuple(fault for fault in FAULTS if lab.backend in fault.backends and not (lab.family == "6" and _is_of_ipv4(fault)))


def _is_of_ipv4(fault: Fault) -> bool:
    return bool(fault.traffic) or not _OF_IPV4.isdisjoint({fault.name, fault.cause})


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
    if lab.backend not in fault.backends:
        raise LabUsageError(f"{name} cannot be made on nodes of {lab.backend}'s shape")
    if fault not in of(lab):
        raise LabUsageError(f"{name} is not made with IPv6")
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
    _talk(lab, fault)
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
    stopping = [(find(fault.name).stops, lab.node(fault.node)) for fault in on]
    return {f"{kind}-{servers.dns_pod(lab, node).name}" for kind, node in stopping if kind is not None}


def _talk(lab: Lab, fault: Fault) -> None:
    """Start the traffic that meets the fault."""
    if fault.traffic:
        address = servers.service_address(lab, "kube-system", "kube-dns").partition(":")[0]
        argv = servers.program("ask", *(word.replace("{dns}", address) for word in fault.traffic))
        processes.start(lab.state_dir, _talker(fault.name), servers.client(lab).netns or "", argv)


def _talker(name: str) -> str:
    return f"meets-{name}"


def _switch_off(lab: Lab, fault: Active) -> None:
    processes.stop(lab.state_dir, [one for one in processes.recorded(lab.state_dir) if one.name == _talker(fault.name)])
    find(fault.name).undo(lab, lab.node(fault.node), fault.percent)
    if find(fault.name).traffic:
        _end_connections(lab)
    _record(lab, tuple(other for other in active(Path(lab.state_dir)) if other != fault))


def _end_connections(lab: Lab) -> None:
    """What the fault's traffic left open would be sent again and again, and meet the next fault."""
    for pod in (servers.client(lab), *servers.dns_pods(lab)):
        if pod.netns is not None:
            tools.run_inside(pod.netns, ["ss", "--kill", "--tcp", "state", "connected"], check=False)


def _record(lab: Lab, faults: tuple[Active, ...]) -> None:
    write_json(Path(lab.state_dir) / STATE_FILE, [asdict(fault) for fault in faults])


def _node(lab: Lab, name: str) -> LabNode:
    try:
        return lab.node(name)
    except KeyError:
        raise LabUsageError(f"no node is called {name!r}; there are: " + ", ".join(node.name for node in lab.nodes)) from None
