"""What the server's own kernel side counted: socket queues, backlogs, routes, with real packets."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.one_backend, pytest.mark.lab_only]

METRICS = "kube-dns:9153"


@pytest.mark.parametrize(
    ("fault", "to", "cause", "confidence", "proof"),
    [
        ("socket-overflow", "kube-dns", "socket-overflow", "certain", "the UDP socket of 10.244.56.129:53 had no room for "),
        ("socket-overflow@tcp", METRICS, "socket-overflow", "certain", "2 connections waited to be accepted, its backlog is 1"),
        ("server-silent", "kube-dns", "server-silent", "likely", " unread bytes before and after"),
        ("server-silent@no-route", "kube-dns", "server-silent", "likely", "Ip.OutNoRoutes inside its pod grew by "),
        ("pod-firewall", "kube-dns", "pod-firewall", "certain", "inside the pod grew by "),
        ("nothing-listening@unheard", "kube-dns", "nothing-listening", "likely", "Udp.NoPorts inside the pod grew by "),
        ("nothing-listening@tcp", METRICS, "nothing-listening", "certain", "no TCP socket of its pod listens for what comes to"),
    ],
)
def test_what_the_servers_pod_says_of_itself(
    place: Lab, fault: str, to: str, cause: str, confidence: str, proof: str, tmp_path: Path
) -> None:
    place.fault(fault)
    time.sleep(2)  # a question waits, of five a second that two servers share
    try:
        run = place.trace("--bundle", "none", to=to, cwd=tmp_path)
    finally:
        place.heal()
    assert run.code == 3, run.stderr
    top = run.report["findings"][0]
    assert (top["cause"], top["confidence"], top["severity"]) == (cause, confidence, "error")
    assert any(proof in one["text"] for one in top["evidence"]), top["evidence"]


def test_a_debug_pod_that_may_not_enter_pods_says_so(place: Lab, tmp_path: Path) -> None:
    place.fault("socket-overflow")
    try:
        run = place.trace("--bundle", "none", "--profile", "netraw", cwd=tmp_path)
    finally:
        place.heal()
    assert run.report["findings"][0]["cause"] in ("server-silent", "socket-overflow")
    assert not any("no room for" in one["text"] for one in run.report["findings"][0]["evidence"])
    notes = run.report["completeness"]["notes"]
    assert any("counters and sockets inside the pods" in note for note in notes), notes


_DEAF = """
import socket, sys, time
deaf = socket.socket(type=socket.SOCK_DGRAM)
deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
deaf.connect(("10.96.0.10", 53))
name = b"".join(bytes([len(part)]) + part for part in b"kotsadm-rqlite.kotsadm.svc.cluster.local".split(b".")) + b"\\0\\0\\1\\0\\1"
print(flush=True)
for number in range(100000):
    deaf.send(number.to_bytes(2, "big") + b"\\1\\0\\0\\1" + bytes(6) + name)
    time.sleep(0.02)
"""


def test_answers_that_the_clients_socket_has_no_room_for_are_delivered_and_told(place: Lab, tmp_path: Path) -> None:
    with subprocess.Popen(place.inside(CLIENT, sys.executable, "-c", _DEAF), stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        try:
            run = place.trace("--bundle", "none", cwd=tmp_path)
        finally:
            deaf.kill()
    assert (run.code, run.report["verdict"], run.report["cause"]) == (0, "delivered", "socket-overflow"), run.stderr
    (found,) = [finding for finding in run.report["findings"] if finding["cause"] == "socket-overflow"]
    assert (found["severity"], found["confidence"], found["direction"]) == ("warning", "likely", "reply")
    assert "came to the interface of kotsadm/kotsadm-58f859745b-x4nh8, and its socket had no room for all of them" in found["summary"]


def test_answers_that_a_rule_in_the_clients_pod_drops_are_delivered_and_told(place: Lab, tmp_path: Path) -> None:
    rule = ("INPUT", "-p", "udp", "--sport", "53", "-j", "DROP")
    place.pod(CLIENT, "iptables", "-w", "-I", *rule)
    try:
        run = place.trace("--bundle", "none", cwd=tmp_path)
    finally:
        place.pod(CLIENT, "iptables", "-w", "-D", *rule)
        place.pod(CLIENT, "nft", "delete", "table", "ip", "filter")
    assert (run.code, run.report["verdict"], run.report["cause"]) == (0, "delivered", "pod-firewall"), run.stderr
    found = run.report["findings"][0]
    assert (found["severity"], found["direction"]) == ("warning", "reply")
    assert '"-p udp -m udp --sport 53 -j DROP" in chain INPUT inside the pod counted as many' in found["summary"]
