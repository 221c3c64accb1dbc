"""What a run did to a cluster, one event a line: all of it, none of its secrets, and no more than is of use."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import rest

from kubectl_vxtrace.kube import audit as audit_module
from kubectl_vxtrace.kube.audit import Audit
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.kube.rest import Api, ApiError
from kubectl_vxtrace.model.cluster import Node, NodeCommand
from kubectl_vxtrace.model.request import PodOptions
from tests.kube.fake import Fake, Stream

SCRIPT = "for name in a b; do\n  echo $name\ndone"


def events(audit: Audit) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.lines()]


@pytest.fixture
def nodes(connection: Connection) -> Iterator[DebugNodes]:
    pods = DebugPods(connection, session="s", options=PodOptions(), lifetime_s=60)
    pods.start((Node(name="a", annotations={}),))
    with DebugNodes(connection, pods) as found:
        yield found
    pods.delete()


def test_a_request(connection: Connection) -> None:
    with Api(connection) as api, pytest.raises(ApiError):
        api.get("/api/v1/nothing", [("labelSelector", "app=web"), ("continue", "a-token")])
    [event] = events(connection.audit)
    assert (event["kind"], event["method"], event["status"]) == ("request", "GET", 404)
    assert event["path"] == "/api/v1/nothing?labelSelector=app=web&continue=..."
    assert event["time"].endswith("Z")
    assert event["duration_ms"] >= 0


def test_a_server_that_is_away(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(rest.RESTClientObject, "request", away)
    with Api(connection) as api, pytest.raises(ApiError):
        api.send("GET", "/version")
    [event] = events(connection.audit)
    assert "status" not in event
    assert event["error"]


def test_a_command_and_the_requests_that_run_it(connection: Connection, nodes: DebugNodes, fake: Fake) -> None:
    def says(_: list[str], stream: Stream) -> None:
        stream.send(1, b"12345")
        stream.exit(3)

    fake.exec = says
    nodes.ask([NodeCommand(node="a", key="links", argv=("sh", "-c", SCRIPT, "vxtrace", "10.0.0.1"))])
    found = events(connection.audit)
    [command] = [event for event in found if event["kind"] == "command"]
    assert (command["node"], command["name"], command["status"], command["exit_code"], command["bytes"]) == ("a", "links", "failed", 3, 5)
    assert command["pod"].endswith("/vxtrace-s-a")
    assert command["argv"][-1] == "10.0.0.1"
    assert "echo $name" not in json.dumps(found)
    assert f"script of {len(SCRIPT)} bytes, SHA-256 " in json.dumps(command)
    upgrade = next(event for event in found if event.get("path", "").endswith("/exec"))
    assert (upgrade["method"], upgrade["status"]) == ("GET", 101)
    assert {event["method"] for event in found if event["kind"] == "request"} >= {"GET", "POST"}


def test_what_is_fetched_is_counted_and_not_told(connection: Connection, nodes: DebugNodes, fake: Fake) -> None:
    def says(_: list[str], stream: Stream) -> None:
        stream.send(1, b"packets")
        stream.exit(0)

    fake.exec = says
    nodes.fetch("a", "/capture/a.pcap", size_bytes=7, sha256="0" * 64, max_bytes=100)
    fetches = [event for event in events(connection.audit) if event["kind"] == "command"]
    assert {(event["name"], event["bytes"]) for event in fetches} == {("fetch a.pcap", 7)}


class Told:
    """What is said with -v and with -vv."""

    def __init__(self) -> None:
        self.details: list[str] = []
        self.answers: list[str] = []

    def detail(self, text: str) -> None:
        self.details.append(text)

    def answer(self, text: str) -> None:
        self.answers.append(text)


def test_the_same_is_told_while_it_happens() -> None:
    told = Told()
    audit = Audit(told)
    audit.request("GET", "/version").end(status=200, bytes=2, said=b"{}")
    audit.command("a", "default/p", "links", ("ip", "-j", "link")).end(status="failed", exit_code=1, bytes=0, said=b"no\nsuch" * 200)
    first, second = told.details
    assert first[8:].startswith("." + first[9:12] + " GET /version: status 200, bytes 2, ")
    assert " a links ip -j link: status failed, exit code 1, bytes 0, " in second
    assert told.answers[0] == "  {}"
    assert "\n" not in told.answers[1]
    assert told.answers[1].endswith("... (1400 bytes)")
    assert all("{}" not in line for line in audit.lines())


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_MOST_EVENTS", 40)
    audit = Audit()

    def ask() -> None:
        for _ in range(20):
            audit.request("GET", "/x" * 10, [("fieldSelector", "a" * 10)]).end(error="e" * 10_000)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = events(audit)
    assert len(found) == 41
    assert found[-1] == {"kind": "left-out", "events": 60}
    assert max(len(line) for line in audit.lines()) < 1000
