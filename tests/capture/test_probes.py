"""What is sent in a silent pod's place, and what its node answers."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.capture.probes import MOST_TARGETS, ProbeTarget, by_sender, command, read, targets
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef
from kubectl_vxtrace.model.request import ProbeKind

CLIENT = Endpoint(address="10.244.1.7", pod="shop/web", node="node-a")
DNS = ServiceRef(address="10.96.0.10", port=53, name="kube-system/kube-dns")


def _flow(number: int, protocol: str, service: ServiceRef | None, server: str = "10.244.2.9", port: int | None = 8080) -> Flow:
    return Flow(id=number, protocol=protocol, client=CLIENT, service=service, server=Endpoint(address=server, port=port, node="node-b"))


@pytest.mark.parametrize(
    ("flow", "asked", "kind"),
    [
        (_flow(1, "UDP", DNS), ProbeKind.AUTO, ProbeKind.DNS),
        (_flow(1, "UDP", DNS), ProbeKind.UDP, ProbeKind.UDP),
        (_flow(1, "UDP", DNS), ProbeKind.TCP, None),
        (_flow(1, "TCP", None), ProbeKind.AUTO, ProbeKind.TCP),
        (_flow(1, "ICMP", None, port=None), ProbeKind.AUTO, ProbeKind.ICMP),
        (_flow(1, "UDP", None, port=8125), ProbeKind.AUTO, None),
        (_flow(1, "UDP", None, port=8125), ProbeKind.UDP, ProbeKind.UDP),
        (_flow(1, "UDP", None, port=8125), ProbeKind.DNS, ProbeKind.DNS),
        (_flow(1, "UDP", None, port=None), ProbeKind.UDP, None),
        (_flow(1, "SCTP", None), ProbeKind.AUTO, None),
    ],
)
def test_what_fits_a_flow(flow: Flow, asked: ProbeKind, kind: ProbeKind | None) -> None:
    assert [target.kind for target in targets([flow], asked)] == ([kind] if kind is not None else [])


def test_a_service_is_asked_once_and_often_enough_for_its_backends() -> None:
    flows = [_flow(number, "UDP", DNS, server=f"10.244.2.{number}", port=53) for number in range(1, 4)]
    assert targets(flows, ProbeKind.AUTO) == (
        ProbeTarget(node="node-a", client="10.244.1.7", kind=ProbeKind.DNS, address="10.96.0.10", port=53, count=6),
    )


def test_few_targets_and_few_packets() -> None:
    flows = [_flow(number, "TCP", ServiceRef(address="10.96.0.1", port=number)) for number in range(1, 20)]
    assert len(targets(flows, ProbeKind.AUTO)) == MOST_TARGETS
    many = [_flow(number, "UDP", DNS, server=f"10.244.2.{number}") for number in range(1, 50)]
    assert targets(many, ProbeKind.AUTO)[0].count == 8


def test_of_several_clients_each_has_a_turn_before_any_has_a_second() -> None:
    flows = [
        replace(_flow(1, "TCP", ServiceRef(address="10.96.0.1", port=port)), client=replace(CLIENT, address=address))
        for address in ("10.244.1.7", "10.244.1.8")
        for port in (80, 443)
    ]
    assert [(each.client, each.port) for each in targets(flows, ProbeKind.AUTO)] == [
        ("10.244.1.7", 80),
        ("10.244.1.8", 80),
        ("10.244.1.7", 443),
    ]


TARGET = ProbeTarget(node="node-a", client="10.244.1.7", kind=ProbeKind.DNS, address="10.96.0.10", port=53, count=2)


def _answer(stdout: bytes, stderr: bytes = b"") -> NodeAnswer:
    return NodeAnswer(command=command([TARGET]), status=AnswerStatus.OK, exit_code=0, stdout=stdout, stderr=stderr)


def test_each_line_is_a_probe() -> None:
    sent, missing = read([TARGET], _answer(b"dns 41234 1764489600000000000 10.96.0.10\ndns 41235 1764489600200000000 10.96.0.10\n"))
    assert [(probe.client_port, probe.sent_ns, probe.address) for probe in sent] == [
        (41234, 1764489600000000000, "10.96.0.10"),
        (41235, 1764489600200000000, "10.96.0.10"),
    ]
    assert missing is None


@pytest.mark.parametrize(
    ("stdout", "stderr", "count", "why"),
    [
        (b"", b"no process of the node has 10.244.1.7\n", 0, "no process of the node has 10.244.1.7"),
        (b"dns 41234 1764489600000000000 10.96.0.10\n", b"not sent: Network is unreachable\n", 1, "not sent: Network is unreachable"),
        (b"dns 999999 1\nnonsense\n\xff", b"", 0, "the node did not say why"),
    ],
)
def test_what_was_not_sent_is_said(stdout: bytes, stderr: bytes, count: int, why: str) -> None:
    sent, missing = read([TARGET], _answer(stdout, stderr))
    assert (len(sent), missing) == (count, why)


def test_targets_of_one_end_go_out_together_and_each_line_says_whose_it_is() -> None:
    other = replace(TARGET, kind=ProbeKind.ICMP, address="10.244.2.9", port=0, count=1, payload_bytes=1382)
    elsewhere = replace(TARGET, node="node-b", client="10.244.2.9")
    assert by_sender([TARGET, elsewhere, other]) == ((TARGET, other), (elsewhere,))
    assert command([TARGET, other]).argv[-2:] == ("dns,10.96.0.10,53,2,0", "icmp,10.244.2.9,0,1,1382")
    lines = b"icmp 7 1764489600000000000 10.244.2.9\ndns 41234 1764489600000000000 10.96.0.10\ndns 1 1764489600000000000 10.96.0.99\n"
    sent, missing = read([TARGET, other], _answer(lines))
    assert [(probe.kind, probe.address, probe.port) for probe in sent] == [
        (ProbeKind.ICMP, "10.244.2.9", 0),
        (ProbeKind.DNS, "10.96.0.10", 53),
    ]
    assert missing is not None


def test_nothing_of_a_target_is_part_of_the_script() -> None:
    argv = command([TARGET]).argv
    assert argv[-4:] == ("10.244.1.7", "-", "200", "dns,10.96.0.10,53,2,0")
    assert "10.96.0.10" not in argv[2]


@pytest.mark.root
@pytest.mark.parametrize("has_clock", [True, False], ids=["perl", "perl-base"])
def test_the_script_sends_with_what_little_perl_there_is(has_clock: bool, tmp_path: Path) -> None:
    """Debian's perl-base has no Time::HiRes."""
    if not has_clock:
        (tmp_path / "Time").mkdir()
        (tmp_path / "Time" / "HiRes.pm").write_text('die "not here";\n')
    target = ProbeTarget(node="node-a", client="127.0.0.1", kind=ProbeKind.UDP, address="127.0.0.1", port=9, count=2, payload_bytes=1000)
    inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "probe", *command([target]).argv]
    environment = {**os.environ, "PERL5LIB": str(tmp_path)}
    done = subprocess.run(inside, env=environment, capture_output=True, text=True, check=True, timeout=20)
    sent, missing = read([target], _answer(done.stdout.encode()))
    assert (len(sent), missing) == (2, None)
    assert all(0 <= time.time_ns() - probe.sent_ns < 20_000_000_000 for probe in sent)
    assert sent[0].sent_ns < sent[1].sent_ns


@pytest.mark.root
def test_no_two_echoes_have_one_identifier() -> None:
    one = ProbeTarget(node="node-a", client="127.0.0.1", kind=ProbeKind.ICMP, address="127.0.0.1", port=0, count=3)
    asked = [replace(one, payload_bytes=size) for size in range(100, 200)]
    inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "probe", *command(asked).argv]
    done = subprocess.run(inside, capture_output=True, text=True, check=True, timeout=30)
    sent, missing = read(asked, _answer(done.stdout.encode()))
    assert (len(sent), missing) == (300, None)
    assert len({probe.client_port for probe in sent}) == 300


# Two network namespaces with the same address behind two devices, each with a process; then the probe from behind DEVICE ("-": unknown),
# and of each how many packets its interface has sent.
_TWINS = """
set -eu
all=''
for number in 1 2; do
    unshare --net sleep 20 &
    process=$!
    all="$all $process"
    until [ "$(readlink /proc/$process/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
    ip link add "veth$number" type veth peer name eth0 netns "$process"
    ip link set "veth$number" up
    inside="nsenter --net=/proc/$process/ns/net"
    $inside ip link set eth0 addrgenmode none up
    $inside ip address add 10.244.1.7/24 dev eth0
    $inside ip neighbour add 10.244.1.9 lladdr 02:00:00:00:00:09 dev eth0
done
"$@" || true
for process in $all; do
    echo "sent $(nsenter --net=/proc/$process/ns/net cat /proc/$process/net/dev | awk '/eth0/ { print $11 }')"
    kill $process
done
"""


@pytest.mark.root
@pytest.mark.parametrize(("device", "sent"), [("veth1", [2, 0]), ("veth2", [0, 2]), (None, [0, 0])])
def test_of_two_pods_with_one_address_the_one_behind_the_device_is_meant(device: str | None, sent: list[int]) -> None:
    target = ProbeTarget(node="node-a", client="10.244.1.7", kind=ProbeKind.UDP, address="10.244.1.9", port=9, count=2)
    argv = ["unshare", "--net", "sh", "-c", _TWINS, "twins", *command([target], device).argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    assert [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("sent")] == sent
    assert ("which is the pod's is not known" in done.stderr) == (device is None)
