"""Gone is what the API was seen to lack."""

import time
from typing import Any

import pytest

from kubectl_vxtrace.kube import removal
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.removal import Doomed, remove
from tests.kube.fake import Fake

PODS = "/api/v1/namespaces/default/pods"
NAME = "vxtrace-7f3a-ada-ec-1"
KEY = ("default", NAME)
Answer = tuple[int, Any, dict[str, str]]
"""Status, body and headers of what comes in place of the server's answer."""
PAGE = b"<html><title>404 Not Found</title></html>"
STATUS = {"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "nothing here", "code": 404}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs of hundredths of a second."""
    monkeypatch.setattr(removal, "_FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(removal, "_LONGEST_BACKOFF_S", 0.05)


def put(fake: Fake, *, name: str = NAME, uid: str = "u-1") -> Doomed:
    labels = {"app.kubernetes.io/managed-by": "kubectl-vxtrace"}
    metadata = {"name": name, "namespace": "default", "uid": uid, "labels": labels}
    fake.pods[name] = {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    fake.born[name] = time.monotonic()
    return Doomed(namespace="default", name=name, uid=uid)


def deletions(fake: Fake) -> int:
    return sum(method == "DELETE" for method, *_ in fake.seen)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, PAGE, {}), id="a load balancer's page"),
        pytest.param((404, {"message": "not found"}, {}), id="JSON of something else"),
        pytest.param((404, STATUS, {}), id="a Status that names no pod"),
        pytest.param((404, {**STATUS, "details": {"name": "another"}}, {}), id="a Status that names another"),
        pytest.param((503, b"", {}), id="an ill gateway"),
        pytest.param((403, b"<h1>blocked</h1>", {}), id="a firewall's page"),
        pytest.param((500, STATUS, {}), id="an ill server"),
        pytest.param((0, b"", {}), id="no answer"),
        pytest.param((429, {}, {"Retry-After": "0"}), id="overload"),
        pytest.param((401, {}, {}), id="credentials that are not taken for a moment"),
        pytest.param((200, PAGE, {}), id="a page that pretends"),
    ],
)
def test_what_is_no_word_of_the_api_makes_no_pod_gone(fake: Fake, connection: Connection, answer: Answer) -> None:
    pod = put(fake)
    fake.replies["DELETE", f"{PODS}/{NAME}"] = [answer] * 3
    removed, left = remove(connection, [pod], bound_s=3)
    assert (removed, left, fake.pods) == ({KEY}, set(), {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, PAGE, {}), id="a page"),
        pytest.param((404, STATUS, {}), id="a Status"),
        pytest.param((200, {}, {}), id="an object of nothing"),
        pytest.param((200, PAGE, {}), id="a page that pretends"),
        pytest.param((503, b"", {}), id="an ill gateway"),
    ],
)
def test_without_a_list_nothing_is_confirmed(fake: Fake, connection: Connection, answer: Answer) -> None:
    fake.replies["GET", PODS] = [answer] * 500
    assert remove(connection, [put(fake)], bound_s=0.5) == (set(), {KEY})


def test_a_list_that_comes_late_confirms(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", PODS] = [(404, PAGE, {})] * 3
    assert remove(connection, [put(fake)], bound_s=5) == ({KEY}, set())


def test_another_pod_of_that_name_is_not_touched(fake: Fake, connection: Connection) -> None:
    put(fake, uid="somebody's")
    assert remove(connection, [Doomed(namespace="default", name=NAME, uid="ours")], bound_s=2) == (set(), set())
    assert set(fake.pods) == {NAME}


def test_what_was_gone_before_was_not_removed(fake: Fake, connection: Connection) -> None:
    assert remove(connection, [Doomed(namespace="default", name=NAME, uid="u-1")], bound_s=2) == (set(), set())


def test_a_refusal_is_final(fake: Fake, connection: Connection) -> None:
    pod, other = put(fake), put(fake, name="other", uid="u-2")
    fake.forbidden.add(f"{PODS}/{NAME}")
    assert remove(connection, [pod, other], bound_s=20) == ({other.key}, {KEY})
    assert deletions(fake) == 2


def test_a_node_that_does_not_end_its_pod_is_not_waited_for_as_long(
    fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "ENDING_BOUND_S", 0.3)
    stuck, other = put(fake), put(fake, name="other", uid="u-2")
    fake.undying.add(NAME)
    fake.pods[NAME]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    started = time.monotonic()
    assert remove(connection, [stuck, other]) == ({other.key}, {KEY})
    assert time.monotonic() - started < 5


def test_who_may_not_list_asks_for_each(fake: Fake, connection: Connection) -> None:
    fake.forbidden.add(PODS)
    assert remove(connection, [put(fake)], bound_s=2) == ({KEY}, set())


def test_who_waits_is_told_for_what(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_TELL_AFTER_S", 0.1)
    told: list[str] = []
    pod = put(fake)
    fake.undying.add(NAME)
    assert remove(connection, [pod], bound_s=0.5, tell=told.append) == (set(), {KEY})
    assert told[0].startswith("waiting for 1 debug pods to end, ")
    fake.replies["DELETE", f"{PODS}/{NAME}"] = [(503, b"overloaded", {})] * 500
    remove(connection, [pod], bound_s=0.5, tell=told.append)
    assert told[-1].startswith("waiting for the API, to remove 1 debug pods (overloaded), ")
