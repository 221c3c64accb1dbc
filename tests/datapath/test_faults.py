"""The table of faults, what it refuses, and (on a real network) that each breaks the leg it names and is mended."""

import dataclasses
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.datapath import faults, records, servers, shape, tools
from tests.datapath.conftest import MakeLab
from tests.datapath.fault_record import Fault
from tests.datapath.fault_table import BASIC
from tests.datapath.faults import FAULTS
from tests.datapath.records import Lab, LabPod
from tests.datapath.tools import LabError, LabUsageError


def test_the_first_eight_causes_are_there_and_names_are_unique() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))
    assert {fault.cause for fault in BASIC} == {
        "underlay-udp-blocked",
        "host-firewall",
        "vni-mismatch",
        "vxlan-port-mismatch",
        "fdb-missing",
        "neighbour-missing",
        "network-policy-drop",
        "nothing-listening",
    }
    assert {fault.cause for fault in BASIC} <= set(names)
    assert len(names) >= 40


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.name))
def test_every_leg_can_be_written_on_every_backend_that_has_the_fault(fault: Fault) -> None:
    for backend in fault.backends:
        lab = shape.lab(backend, 3, "/nowhere")
        start, _, end = fault.where(lab).partition(">")
        roles = {"pod", "vxlan", "underlay"} | ({"bridge"} if backend == "flannel" else set())
        for place in (start, end):
            node, _, role = place.partition("/")
            assert (place == "-" and place is end) or (node in {one.name for one in lab.nodes} and role in roles)


@pytest.mark.parametrize(
    ("name", "backend", "leg"),
    [
        ("underlay-udp-blocked", "calico", "ada-ec-1/underlay>ada-ec-2/underlay"),
        ("underlay-udp-blocked@reply", "calico", "ada-ec-2/underlay>ada-ec-1/underlay"),
        ("neighbour-missing", "calico", "ada-ec-2/pod>ada-ec-2/vxlan"),
        ("neighbour-missing", "flannel", "ada-ec-2/bridge>ada-ec-2/vxlan"),
        ("network-policy-drop@egress", "calico", "ada-ec-1/pod>ada-ec-1/vxlan"),
        ("nothing-listening", "flannel", "ada-ec-2/pod>-"),
    ],
)
def test_the_leg_is_that_of_the_backend(name: str, backend: str, leg: str) -> None:
    assert faults.find(name).where(shape.lab(backend, 3, "/nowhere")) == leg


@pytest.mark.parametrize(
    ("name", "node", "percent"),
    [
        ("no-such-fault", None, None),
        ("host-firewall", "ada-ec-9", None),
        ("host-firewall", None, 0),
        ("host-firewall", None, 101),
        ("vni-mismatch", None, 50),
        ("nothing-listening", "ada-ec-1", None),
        ("network-policy-drop@egress", "ada-ec-2", None),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(tmp_path: Path, name: str, node: str | None, percent: int | None) -> None:
    lab = shape.lab("calico", 3, str(tmp_path))
    with pytest.raises(LabUsageError):
        faults.switch_on(lab, name, node, percent)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_undone_stays_on_record(tmp_path: Path) -> None:
    lab = shape.lab("calico", 3, str(tmp_path))
    lab = dataclasses.replace(lab, nodes=tuple(dataclasses.replace(node, netns="vxlabt-nowhere") for node in lab.nodes))
    on = [{"name": name, "node": "ada-ec-2", "percent": 100} for name in ("host-firewall", "fdb-missing")]
    (tmp_path / faults.STATE_FILE).write_text(json.dumps(on))
    with pytest.raises(LabError, match=r"(?s)fdb-missing at ada-ec-2: .*host-firewall at ada-ec-2: .*makes the lab anew"):
        faults.heal(lab)
    assert [fault.name for fault in faults.active(tmp_path)] == ["host-firewall", "fdb-missing"]


# Made by whoever needs them first, and empty afterwards.
EMPTY = re.compile(r"#|\*|:\S+ (ACCEPT|-) |COMMIT|table ip (raw|mangle|nat|filter)$")


@pytest.fixture(scope="module", params=["calico", "flannel"])
def lab(request: pytest.FixtureRequest, make_lab: MakeLab) -> Iterator[Lab]:
    with make_lab(request.param, 3) as made:
        yield made


def server(lab: Lab, fault: Fault) -> LabPod:
    """The DNS pod whose answers the fault takes away."""
    node = fault.default_node(lab)
    return next(pod for pod in servers.dns_pods(lab) if pod.node == node.name or fault.at_client)


def answered(lab: Lab, pod: LabPod) -> int:
    """How many of six questions, asked from the client's pod, are answered.

    Connections of the lab's own client are forgotten first: a policy lets a port pass that it has used within the last half minute.
    """
    for node in lab.nodes:
        tools.run_inside(node.netns, ["conntrack", "-D", "-p", "udp", "--dport", "53"], check=False)
    argv = servers.program("ask", "dns", f"{pod.address}:53", servers.QUESTION, "--rate", "30", "--seconds", "0.2", "--timeout", "0.3")
    return int(tools.run_inside(servers.client(lab).netns or "", argv).stdout.split()[-1])


@contextmanager
def counting(lab: Lab, hop: str, direction: str, pod: LabPod) -> Iterator[list[int]]:
    """Counts, with tcpdump at a hop "NODE/ROLE", the packets of one direction between the client and a DNS pod."""
    name, _, role = hop.partition("/")
    node = lab.node(name)
    client = servers.client(lab)
    ends = (client, pod) if direction == "request" else (pod, client)
    local = client if client.node == name else pod
    interface = {"pod": local.host_interface, "bridge": node.bridge, "vxlan": node.vtep_interface, "underlay": node.underlay_interface}[
        role
    ]
    source, destination = (end.address or "" for end in ends)
    expression = f"src host {source} and dst host {destination} and udp port 53"
    if role == "underlay":  # inner addresses by their place in the UDP payload: 8 UDP, 8 VXLAN, 14 Ethernet, 12 and 16 IPv4
        expression = f"udp dst port {node.vxlan_port} and udp[42:4]={number(source)} and udp[46:4]={number(destination)} and udp[39]=17"
    argv = ["tcpdump", "-p", "--immediate-mode", "-nn", "-Z", "root", "-i", interface or "", "-w", "/dev/null", "--", expression]
    process = subprocess.Popen(tools.inside(node.netns, argv), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "listening on" in process.stderr.readline()
    result: list[int] = []
    try:
        yield result
    finally:
        process.send_signal(2)
        closing = process.communicate(timeout=10)[1]
    result.append(int(closing.split(" packets captured")[0].split(" packet captured")[0].split()[-1]))


def number(address: str) -> str:
    return "0x" + "".join(f"{int(octet):02x}" for octet in address.split("."))


@pytest.mark.root
@pytest.mark.lab
@pytest.mark.parametrize("fault", BASIC, ids=lambda fault: str(fault.name))
def test_packets_die_on_the_named_leg_until_healed(lab: Lab, fault: Fault) -> None:
    pod = server(lab, fault)
    switched, changed = faults.switch_on(lab, fault.name, None, None)
    assert changed
    try:
        assert faults.switch_on(lab, fault.name, None, None) == (switched, False)
        near, _, far = fault.where(lab).partition(">")
        with (
            counting(lab, near, fault.direction, pod) as before,
            counting(lab, near if far == "-" else far, fault.direction, pod) as behind,
        ):
            assert answered(lab, pod) == 0
        assert before[0] >= 6
        # At the last hop both count the same packets, but do not begin at the same time, and the lab's own client goes on asking.
        assert behind[0] >= 6 if far == "-" else behind[0] == 0
    finally:
        healed = faults.heal(lab)
    assert healed == (switched,)
    assert faults.active(Path(lab.state_dir)) == ()
    servers.wait_answered(lab, pod)


@pytest.mark.root
@pytest.mark.lab
def test_healing_undoes_several_and_leaves_the_tables_as_they_were(lab: Lab) -> None:
    before = tables(lab)
    for fault in BASIC:
        if fault.name != "vxlan-port-mismatch":
            faults.switch_on(lab, fault.name, None, None)
    with pytest.raises(LabError, match="heal first"):
        faults.switch_on(lab, "vxlan-port-mismatch", None, None)
    assert tables(lab) != before
    assert len(faults.heal(lab)) == len(BASIC) - 1
    assert faults.heal(lab) == ()
    assert tables(lab) == before
    for pod in servers.dns_pods(lab):
        servers.wait_answered(lab, pod)


@pytest.mark.root
@pytest.mark.lab
def test_each_fault_leaves_nothing(lab: Lab) -> None:
    before = tables(lab)
    for fault in FAULTS:
        if lab.backend not in fault.backends:
            with pytest.raises(LabUsageError, match="cannot be made"):
                faults.switch_on(lab, fault.name, None, None)
            continue
        target = fault.default_node(lab)
        for change in (fault.apply, fault.apply, fault.undo, fault.undo):  # both may be run twice
            change(lab, target, 100)
        assert tables(lab) == before, fault.name
    for pod in servers.dns_pods(lab):
        servers.wait_answered(lab, pod)


def tables(lab: Lab) -> dict[str, str]:
    """Rules, routes, neighbours, FDB, devices, settings of each namespace, without what grows by itself, and what the API is told."""
    texts = {"records": json.dumps(dataclasses.asdict(records.load(Path(lab.state_dir)) or lab), sort_keys=True)}
    for node in lab.nodes:
        device = node.vtep_interface
        for argv in (
            ["iptables-save"],
            ["iptables-legacy", "-t", "nat", "-S"],
            ["nft", "list", "tables"],
            ["ip", "rule"],
            ["ip", "route", "show", "table", "all"],
            ["ip", "neigh", "show", "nud", "permanent"],
            ["bridge", "fdb", "show", "dev", device],
            ["ip", "-o", "link", "show"],
            ["ip", "-d", "-o", "link", "show", "dev", device],
            ["ip", "-o", "-4", "addr", "show"],
            ["tc", "qdisc", "show", "dev", node.underlay_interface],
            ["ethtool", "-k", node.underlay_interface],
            ["sysctl", "-e", "net.ipv4.ip_forward", f"net.ipv4.conf.{device.replace('.', '/')}.rp_filter"],
        ):
            lines = tools.run_inside(node.netns, argv, check=False).stdout.splitlines()  # the device may be gone
            texts[f"{node.name} {' '.join(argv)}"] = "\n".join(sorted(_kept(argv, line) for line in lines if not EMPTY.match(line)))
    for pod in servers.talkers(lab):
        for argv in (["ip", "-o", "-4", "addr", "show"], ["ip", "route"], ["nft", "list", "ruleset"], ["ip", "-o", "link", "show"]):
            lines = tools.run_inside(pod.netns or "", argv).stdout.splitlines()
            texts[f"{pod.name} {' '.join(argv)}"] = "\n".join(sorted(_kept(argv, line) for line in lines))
    texts["fabric"] = tools.run_inside(lab.fabric, ["nft", "list", "ruleset"]).stdout
    return texts


def _kept(argv: list[str], line: str) -> str:
    """A line without counters and without the numbers that a device gets anew when it is remade."""
    return re.sub(r"^\d+: |@if\d+|@\w+|qdisc \w+ \w+:|dev cni0 proto kernel|\[\d+\] ?", "", line) if argv[0] in ("ip", "tc") else line


@pytest.mark.root
@pytest.mark.lab
def test_a_percentage_loses_some(lab: Lab) -> None:
    pod = next(pod for pod in servers.dns_pods(lab) if pod.node == "ada-ec-2")
    try:
        for name in ("underlay-udp-blocked", "host-firewall", "host-firewall@nft"):
            faults.switch_on(lab, name, None, 10)
            faults.switch_on(lab, name, None, 50)
            assert [fault.percent for fault in faults.active(Path(lab.state_dir))] == [50]
            argv = servers.program(
                "ask", "dns", f"{pod.address}:53", servers.QUESTION, "--rate", "500", "--seconds", "0.4", "--timeout", "0.3"
            )
            words = tools.run_inside(servers.client(lab).netns or "", argv).stdout.split()
            assert 0.2 < int(words[3]) / int(words[1]) < 0.8  # 200 questions: further out than 8 standard deviations
            faults.heal(lab)
    finally:
        faults.heal(lab)


@pytest.mark.root
@pytest.mark.lab
def test_the_client_asks_all_the_time_and_is_answered(lab: Lab) -> None:
    first = servers.stats_file(lab).read_text()
    time.sleep(1.2)
    second = servers.stats_file(lab).read_text()
    assert first != second
