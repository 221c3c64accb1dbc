"""The faults of tests/datapath on the cluster: the same table, with other hands where a daemon or a kubelet would mend what was broken."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from tests.cluster import binaries as built
from tests.cluster import flannel, live, machine, places, plan, workloads
from tests.cluster.binaries import Binaries
from tests.cluster.kubectl import Kubectl, last_words, wait_for
from tests.datapath import fault_table, faults, records, servers, tools
from tests.datapath.fault_record import Action, Fault
from tests.datapath.faults import Active
from tests.datapath.records import Lab, LabNode
from tests.datapath.tools import LabError, LabUsageError

# What needs no more than the nodes and the underlay, beside the first faults. The others change the pods' namespaces by name, write the
# rules that the lab's nodes have instead of kube-proxy's, or change what only the lab's API says.
_FURTHER = (
    "cloud-anti-spoofing",
    "cloud-anti-spoofing@reply",
    "duplicate-node-address",
    "duplicate-pod-cidr",
    "duplicate-pod-cidr@third",
    "duplicate-vtep-mac",
    "fdb-wrong-destination",
    "fdb-wrong-destination@live",
    "fdb-wrong-destination@reply",
    "host-firewall@forward",
    "host-firewall@output",
    "host-firewall@output-reply",
    "host-firewall@reset",
    "ip-forward-off",
    "ip-forward-off@client",
    "pod-is-tunnel-address",
    "pod-route-missing",
    "qdisc-drop",
    "qdisc-drop@reply",
    "route-missing",
    "route-missing@no-default",
    "route-missing@reply",
    "routing-loop",
    "rp-filter",
    "rp-filter@bare-return",
    "rp-filter@reply",
    "snat-port-collision",
    "stale-vtep-mac",
    "stale-vtep-mac@reply",
    "underlay-mtu",
    "underlay-path-subset",
    "underlay-path-subset@reply",
    "vxlan-device-down",
    "vxlan-device-down@client",
    "xdp-drop",
    "xdp-drop@reply",
)
_NAMES = {*(fault.name for fault in fault_table.BASIC), *_FURTHER}


def possible(backend: str) -> tuple[Fault, ...]:
    """The faults that a cluster with nodes of this shape can have."""
    return tuple(fault for fault in faults.FAULTS if fault.name in _NAMES and backend in fault.backends)


class Breakage:
    """Switches faults on and off in a cluster that is up."""

    def __init__(self, lab: Lab, kubectl: Kubectl, binaries: Binaries) -> None:
        self._lab = lab
        self._kubectl = kubectl
        self._binaries = binaries
        self._state = Path(lab.state_dir)

    def table(self) -> tuple[Fault, ...]:
        """Every fault that can be made here."""
        return tuple(self._adapted(fault) for fault in possible(self._lab.backend))

    def switch_on(self, name: str, node: str | None, percent: int | None) -> Active:
        """Switch a fault on.

        Raises:
            LabUsageError: no such fault or node, or a percentage that it cannot have.
            LabError: it is on already, it clashes with another, or a command failed (`heal` then undoes what was done).
        """
        fault = faults.find(name)
        if fault not in possible(self._lab.backend):
            raise LabUsageError(f"{name} can be made in the lab only")
        fault = self._adapted(fault)
        target = self._node(node) if node is not None else fault.default_node(self._lab)
        if percent is not None and (not fault.partial or not 1 <= percent <= 100):
            raise LabUsageError(f"--percent {percent}: " + ("from 1 to 100" if fault.partial else f"{name} is all or nothing"))
        if fault.needs is not None:
            fault.needs(self._lab, target)
        on = faults.active(self._state)
        for other in on:
            if other.node == target.name and (other.name == name or fault.remakes_device):
                raise LabError(f"{other.name} is on at {other.node}; heal first")
        wanted = Active(name=name, node=target.name, percent=percent or 100)
        self._record((*on, wanted))
        fault.apply(self._lab, target, wanted.percent)
        return wanted

    def heal(self) -> tuple[Active, ...]:
        """Undo every fault that is on, the last first. Raises LabError; those that could not be undone stay on record."""
        done, trouble = [], []
        for active in reversed(faults.active(self._state)):
            try:
                self._adapted(faults.find(active.name)).undo(self._lab, self._lab.node(active.node), active.percent)
            except LabError as error:
                trouble.append(f"{active.name} at {active.node}: {error}")
                continue
            self._record(tuple(other for other in faults.active(self._state) if other != active))
            done.append(active)
        if trouble:
            raise LabError("\n".join(trouble))
        return tuple(done)

    def _adapted(self, fault: Fault) -> Fault:
        if fault.cause == "nothing-listening":
            return dataclasses.replace(fault, apply=self._dns(stop=True), undo=self._dns(stop=False))
        if fault.remakes_device and self._lab.backend == "flannel":
            return dataclasses.replace(fault, apply=self._without_flannel(fault.apply), undo=self._with_flannel(fault.undo))
        return fault

    def _dns(self, *, stop: bool) -> Action:
        """CoreDNS ends, or comes back, in a pod that stays."""

        def act(lab: Lab, node: LabNode, percent: int) -> None:
            pod = servers.dns_pod(lab, node)
            inside = ("exec", "--namespace", pod.namespace, pod.name, "--", "sh", "-c")
            flag = f"touch {workloads.STOPPED}; pkill -x coredns || true" if stop else f"rm -f {workloads.STOPPED}"
            self._kubectl.run(*inside, flag)
            check = "ss -lun | grep -q ':53 '"

            def listens() -> bool:
                return self._kubectl.run(*inside, f"{check} && echo yes || true").strip() == "yes"

            wait_for(f"{pod.name}'s port 53", lambda: listens() != stop, 20, lambda: "it is " + ("still open" if stop else "still closed"))

        return act

    def _without_flannel(self, action: Action) -> Action:
        """flanneld makes its device anew when that is deleted; so it ends before, as after a crash."""

        def act(lab: Lab, node: LabNode, percent: int) -> None:
            machine.found(self._state, node.name).stop(flannel.DAEMON)
            action(lab, node, percent)

        return act

    def _with_flannel(self, action: Action) -> Action:
        def act(lab: Lab, node: LabNode, percent: int) -> None:
            action(lab, node, percent)
            host = machine.found(self._state, node.name)
            host.stop(flannel.DAEMON)
            # It writes every entry when it starts; until it has, it would mend the next fault.
            for peer in lab.nodes:
                _forget(node, peer)
            flannel.start(lab, host, self._binaries)
            wait_for(f"{node.name}'s FDB", lambda: _complete(lab, node), 30, lambda: last_words(self._state, f"flanneld-{node.name}"))

        return act

    def _node(self, name: str) -> LabNode:
        try:
            return self._lab.node(name)
        except KeyError:
            raise LabUsageError(f"no node is called {name!r}; there are: " + ", ".join(node.name for node in self._lab.nodes)) from None

    def _record(self, active: tuple[Active, ...]) -> None:
        records.write_json(self._state / faults.STATE_FILE, [dataclasses.asdict(fault) for fault in active])


def running(say: Callable[[str], None]) -> tuple[Lab, Breakage]:
    """The cluster that is up, and who can break it.

    Raises:
        LabUsageError: none is up.
        LabError: it does not answer.
    """
    state = places.state_dir()
    present = plan.read(state)
    if present is None:
        raise LabUsageError("no cluster is up; `make cluster-up` starts one")
    programs = built.ensure(say)
    kubectl = Kubectl(programs, state)
    lab = live.lab(present[0], kubectl)
    return lab, Breakage(lab, kubectl, programs)


def _forget(node: LabNode, peer: LabNode) -> None:
    """Delete a peer's FDB entry, if there is one."""
    argv = ["bridge", "-n", node.netns, "fdb", "delete", peer.vtep_mac, "dev", node.vtep_interface, "dst", peer.address, "self"]
    tools.run(argv, check=False)


def _complete(lab: Lab, node: LabNode) -> bool:
    """Whether a node's VXLAN device knows where every peer is."""
    entries = tools.run(["bridge", "-n", node.netns, "fdb", "show", "dev", node.vtep_interface]).stdout
    return all(f"{peer.vtep_mac} dst {peer.address}" in entries for peer in lab.nodes if peer.name != node.name)
