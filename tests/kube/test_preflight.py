from collections.abc import Callable
from typing import Any

import pytest

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.manifest import manifest
from kubectl_vxtrace.kube.preflight import admits_without_namespaces, admitted, check, check_reading, review
from kubectl_vxtrace.kube.rights import ALWAYS
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.request import PodOptions
from tests.kube.fake import Fake

PODS = "/api/v1/namespaces/debug/pods"


def run(connection: Connection) -> None:
    options = PodOptions()
    bodies = [manifest(node, session="7f3a", namespace="debug", options=options, lifetime_s=60) for node in ("a", "b")]
    check(connection, options=options, namespace="debug", manifests=bodies)


def test_all_well_and_nothing_made(fake: Fake, connection: Connection) -> None:
    run(connection)
    assert fake.pods == {}
    assert [query for method, path, _, query in fake.seen if path == PODS] == [[("dryRun", "All")]] * 2
    asked = {(right.need.verb, right.need.resource) for right in review(connection, ALWAYS, (), "debug")}
    assert {("get", "pods/exec"), ("create", "pods/exec"), ("create", "pods"), ("delete", "pods"), ("list", "nodes")} <= asked


def test_every_missing_right_is_listed(fake: Fake, connection: Connection) -> None:
    fake.denied = {("create", "pods/exec"), ("list", "nodes")}
    with pytest.raises(UsageError) as caught:
        run(connection)
    assert caught.value.message == "missing rights:\n  create pods/exec in namespace debug\n  list nodes"
    assert "docs/rbac.yaml" in caught.value.hint
    assert all(path != PODS for _, path, _, _ in fake.seen)


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (403, 'pods "p" is forbidden: violates PodSecurity "baseline:latest": no', "kubectl label namespace debug pod-security"),
        (403, 'pods "p" is forbidden: exceeded quota: q, requested: pods=1', "quota"),
        (403, 'pods "p" is forbidden: unable to validate against any security context constraint', "oc adm policy"),
        (400, 'admission webhook "validate.kyverno.svc-fail" denied the request: no', "--profile netraw"),
        (400, "admission webhook \"gkepolicy\" denied the request: GKE Warden constraints: no", "Autopilot"),
        (404, 'namespaces "debug" not found', "kubectl create namespace debug"),
        (422, "Pod is invalid: spec.containers[0].image: Required value", "--debug-namespace"),
        (403, 'pods is forbidden: User "u" cannot create resource "pods"', "docs/rbac.yaml"),
    ],
)  # fmt: skip
def test_admission_speaks_for_itself(fake: Fake, connection: Connection, status: int, message: str, hint: str) -> None:
    fake.replies["POST", PODS] = [(status, {"kind": "Status", "message": message, "reason": "Forbidden"}, {})]
    with pytest.raises(UsageError) as caught:
        run(connection)
    assert message in caught.value.message
    assert hint in caught.value.hint


def _refusing(fake: Fake, monkeypatch: pytest.MonkeyPatch, refused: Callable[[dict[str, Any]], bool]) -> None:
    """A policy in front of the API, which is asked of each pod."""
    create = fake.create

    def judged(http: Any, body: dict[str, Any], query: dict[str, str]) -> None:
        if refused(body):
            fake.refuse(http, 400, "BadRequest", 'admission webhook "no-host-path" denied the request')
        else:
            create(http, body, query)

    monkeypatch.setattr(fake, "create", judged)


def _has_host_path(body: dict[str, Any]) -> bool:
    return any("hostPath" in volume for volume in body["spec"]["volumes"])


def test_a_policy_against_host_paths_gets_pods_without(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _refusing(fake, monkeypatch, _has_host_path)
    nodes = (Node(name="a", annotations={}), Node(name="b", annotations={}))
    pods = DebugPods(connection, session="7f3a", options=PodOptions(debug_namespace="debug"), lifetime_s=60)
    assert all(map(_has_host_path, pods.manifests(nodes)))
    assert any(admitted(connection, "debug", pods.manifests(nodes)))
    assert admits_without_namespaces(connection, pods, nodes)
    assert not any(map(_has_host_path, pods.manifests(nodes)))
    check(connection, options=PodOptions(), namespace="debug", manifests=pods.manifests(nodes))


def test_what_refuses_more_is_no_better_without_it(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _refusing(fake, monkeypatch, lambda body: bool(body["spec"]["hostNetwork"]))
    pods = DebugPods(connection, session="7f3a", options=PodOptions(debug_namespace="debug"), lifetime_s=60)
    assert not admits_without_namespaces(connection, pods, (Node(name="a", annotations={}),))


@pytest.mark.parametrize("reply", [(500, {"message": "no endpoints for webhook"}, {"Retry-After": "0"}), (401, {}, {})])
def test_an_api_that_does_not_work(fake: Fake, connection: Connection, reply: tuple[int, Any, dict[str, str]]) -> None:
    fake.replies["POST", PODS] = [reply] * 8
    with pytest.raises(CannotRunError):
        run(connection)


def test_what_may_be_read_is_no_reason(fake: Fake, connection: Connection) -> None:
    fake.denied = {("create", "pods")}
    check_reading(connection, ("kotsadm",), "debug")
    assert len(fake.bodies) > 1, "it asked for each right"


def test_who_may_not_read_gets_everything_that_is_missing(fake: Fake, connection: Connection) -> None:
    fake.denied = {("list", "services"), ("create", "pods/exec"), ("list", "nodes")}
    with pytest.raises(UsageError) as caught:
        check_reading(connection, ("kotsadm", "kube-system"), "debug")
    assert caught.value.message.splitlines() == [
        "missing rights:",
        "  list nodes",
        "  list services in namespace kotsadm",
        "  list services in namespace kube-system",
        "  create pods/exec in namespace debug",
    ]
