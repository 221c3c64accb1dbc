"""What is traced, and what is true of it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cluster import breakage
from tests.datapath import faults, shape
from tests.datapath.records import Lab

BACKENDS = ("calico", "flannel")
CLIENT = "/".join(shape.CLIENT)
DURATION_S = 2.5
# On no mount of a worker: who removes the place of one elsewhere takes it away. Each checkout has its own, so that two may run at once.
LABS_STATE = f"/run/vxtrace-truth-{hashlib.sha256(__file__.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a right report says of one fault.

    Attributes:
        cause: the slug.
        direction: "request" or "reply".
        start, end: the hops "NODE/ROLE" between which packets vanish; end None where it is the last hop. Start is empty where they reach a
            tap in a form that nobody asked for: any leg of the direction is right then.
        severity: of the finding. Where it is no "error", no packet vanishes, and direction, start and end are empty.
        code: the exit status.
    """

    cause: str
    direction: str = ""
    start: str = ""
    end: str | None = None
    severity: str = "error"
    code: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A fault to be switched on; node None: the fault's own; percent None: all packets."""

    name: str
    node: str | None = None
    percent: int | None = None

    def __str__(self) -> str:
        return self.name + (f" on {self.node}" if self.node else "") + (f" {self.percent} %" if self.percent else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One trace.

    Attributes:
        name: unique over all cases.
        backend: "calico" or "flannel".
        on: "lab", or "cluster" for the real Kubernetes of tests/cluster.
        switches: the faults that are on; none on a healthy path.
        client, target: what the plugin is asked to trace.
        traffic: arguments of tests/datapath/programs/ask.py or stream.py, with the program's name first, for what runs meanwhile in the
            client's pod beside the lab's standing questions. "{ADDRESS}" words are filled in by the worker.
        expected: what is true where that is not the faults' own truth.
        synthesised: title of the case in tests/truth/synthesised.py whose bundle is analysed instead, "" for none.
        oddity: a change of the nodes by which no packet is lost (tests/truth/oddities.py), "" for none.
    """

    name: str
    backend: str
    on: str = "lab"
    switches: tuple[Switch, ...] = ()
    client: str = CLIENT
    target: str = "kube-dns"
    duration_s: float = DURATION_S
    traffic: tuple[tuple[str, ...], ...] = ()
    oddity: str = ""
    expected: tuple[Truth, ...] = ()
    synthesised: str = ""

    def truths(self) -> tuple[Truth, ...]:
        """What is true of it: one entry for each fault that is on; none on a healthy path."""
        return self.expected or tuple(truth(lab_of(self.backend), switch) for switch in self.switches)


def lab_of(backend: str) -> Lab:
    """The records of the lab on which the cases of a backend run."""
    return shape.lab(backend, 3, f"{LABS_STATE}-{backend}")


def truth(lab: Lab, switch: Switch) -> Truth:
    """What the fault table says of a fault on this lab."""
    fault = faults.find(switch.name)
    node = lab.node(switch.node) if switch.node is not None else fault.default_node(lab)
    start, _, end = fault.where(lab, node).partition(">")
    return Truth(cause=fault.cause_at(switch.percent or 100), direction=fault.direction, start=start, end=None if end == "-" else end)


# Which part of the packets: (fault, percent).
SHARES = (
    ("underlay-udp-blocked", 30),
    ("underlay-udp-blocked@reply", 60),
    ("host-firewall", 40),
    ("host-firewall@reply", 70),
    ("host-firewall@nft", 50),
    ("host-firewall@reject", 50),
    ("host-firewall", 10),
    ("underlay-udp-blocked", 15),
)

# Two at once, that hit different packets.
PAIRS: tuple[tuple[Switch, Switch], ...] = (
    (Switch(name="underlay-udp-blocked"), Switch(name="host-firewall", node="ada-ec-3")),
    (Switch(name="host-firewall", percent=40), Switch(name="underlay-udp-blocked@reply", percent=40)),
    (Switch(name="network-policy-drop"), Switch(name="underlay-udp-blocked", node="ada-ec-3")),
    (Switch(name="neighbour-missing@request"), Switch(name="host-firewall@reject", node="ada-ec-3")),
    (Switch(name="route-missing"), Switch(name="nothing-listening", node="ada-ec-3")),
    (Switch(name="stale-vtep-mac"), Switch(name="ip-forward-off", node="ada-ec-3")),
)


def fault_cases() -> Iterator[Case]:
    """Every fault on every backend that has it, then those that hit a part of the packets, then two at once."""
    for backend in BACKENDS:
        for fault in faults.FAULTS:
            if backend in fault.backends:
                yield _case(backend, Switch(name=fault.name))
        for name, percent in SHARES:
            yield _case(backend, Switch(name=name, percent=percent))
        for pair in PAIRS:
            yield _case(backend, *pair)


# Settings that look harmless, and what must be told of them: (oddity, backends, target, traffic, truth). The first breaks every connection
# to a service whose backend is beside the client: answers come from the backend itself. By the others nothing is lost.
_OTHERS_NAME = (("ask", "dns", "{kube-dns}", "www.example.org", "--rate", "20"),)  # REFUSED: the lab's servers ask nobody else
_STALLED = (("stream", "stall", "{slackernews}", "--bytes", "50000000", "--rate", "2", "--seconds", "60"),)
_RQLITE = (("ask", "http", "{kotsadm-rqlite}", "/", "--rate", "20"),)
TOLD: tuple[tuple[str, tuple[str, ...], str, tuple[tuple[str, ...], ...], Truth], ...] = (
    (
        "bridged packets pass no filter",
        ("flannel",),
        "kotsadm-rqlite",
        _RQLITE,
        Truth(cause="bridge-netfilter-off", direction="reply"),
    ),
    ("replies go bare", BACKENDS, "kube-dns", (), Truth(cause="asymmetric-return", severity="info", code=0)),
    ("other client ports", BACKENDS, "kube-dns", (), Truth(cause="nat-port-rewritten", severity="info", code=0)),
    ("", BACKENDS, "kube-dns", _OTHERS_NAME, Truth(cause="application-error", severity="info", code=0)),
    ("", BACKENDS, "slackernews", _STALLED, Truth(cause="zero-window", severity="warning", code=0)),
)


# An address of ada-ec-2's block that no pod of the lab has.
NOBODY = "10.244.56.150"


def asked_in_vain() -> Iterator[Case]:
    """Nothing is wrong with the nodes, and what is asked for is not there."""
    where = Truth(cause="not-a-pod", direction="request", start="ada-ec-2/vxlan", end="ada-ec-2/pod")
    pings = (("ask", "ping", NOBODY, "-", "--rate", "20"),)
    yield Case(name="calico: not-a-pod (an address of nobody)", backend="calico", target=NOBODY, traffic=pings, expected=(where,))


def told_cases() -> Iterator[Case]:
    """Changes of the nodes (tests/truth/oddities.py) that no table of theirs shows as a fault, and that a report must speak of."""
    for oddity, backends, target, traffic, expected in TOLD:
        for backend in backends:
            name = f"{backend}: {expected.cause} ({oddity or 'the ends themselves'})"
            yield Case(name=name, backend=backend, target=target, traffic=traffic, oddity=oddity, expected=(expected,))


def cluster_cases() -> Iterator[Case]:
    """Every fault that a real Kubernetes can have, with either network."""
    for backend in BACKENDS:
        for fault in breakage.possible(backend):
            yield _case(backend, Switch(name=fault.name), on="cluster")


def _case(backend: str, *switches: Switch, on: str = "lab") -> Case:
    place = backend if on == "lab" else title_of_cluster(backend)
    return Case(name=f"{place}: {' + '.join(str(switch) for switch in switches)}", backend=backend, on=on, switches=switches)


def title_of_cluster(backend: str) -> str:
    """How rows of the cluster with nodes of this shape begin."""
    return f"Kubernetes, {backend}"
