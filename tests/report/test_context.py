"""What a report says of how it was made."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Access, Limits, PodOptions, ProbeKind, Request, Target
from kubectl_vxtrace.report.context import command, context

POD = Target(namespace="shop", name="web-0")


def request(target: Target | None, filter_: str | None = None) -> Request:
    return Request(
        command="pod", source=POD, target=target, filter=filter_, limits=Limits(duration_s=2.5), pod_options=PodOptions(profile="netraw")
    )


@pytest.mark.parametrize(
    ("target", "typed"),
    [
        (Target(name="kube-dns"), "kube-dns"),
        (Target(kind="service", namespace="kube-system", name="kube-dns", port=53, protocol="UDP"), "service/kube-system/kube-dns:53/udp"),
        (Target(address="10.96.0.10", port=53), "10.96.0.10:53"),
        (Target(address="fd00::1", port=53, protocol="TCP"), "[fd00::1]:53/tcp"),
        (Target(address="10.96.0.10", protocol="ICMP"), "10.96.0.10"),
    ],
)
def test_the_command_can_be_typed_again(target: Target, typed: str) -> None:
    assert command(request(target)) == f"kubectl vxtrace pod shop/web-0 --to {typed} --duration 2.5s"


def test_a_filter_is_quoted() -> None:
    assert command(request(None, "udp port 53; rm")) == "kubectl vxtrace pod shop/web-0 --duration 2.5s --filter 'udp port 53; rm'"


def test_what_was_sent_is_said() -> None:
    asked = replace(request(POD), probe=ProbeKind.UDP, mtu=True)
    assert command(asked).endswith(" --duration 2.5s --probe udp --mtu")
    assert command(replace(asked, ab=True)).endswith(" --probe udp --mtu --ab")


def recording(asked: Request | None) -> Recording:
    nodes = tuple(Node(name=name, annotations={}, kubelet="v1.36.2", kernel=kernel) for name, kernel in (("a", "6.1.0"), ("b", "6.12.3")))
    snapshot = ClusterSnapshot(uid="u", taken_ns=0, nodes=nodes, pods=(), services=())
    return Recording(
        session="s",
        version="0.1.0",
        started_ns=0,
        request=asked,
        snapshot=snapshot,
        overlay=Overlay(backend="calico-vxlan"),
        flows=(),
        paths=(),
    )


def test_versions_stand_once() -> None:
    made = context(recording(request(POD)))
    assert made is not None
    assert (made.kubernetes, made.kernels, made.cni, made.profile) == (("v1.36.2",), ("6.1.0", "6.12.3"), "calico-vxlan", "netraw")


def test_files_alone_have_none() -> None:
    assert context(recording(None)) is None


def test_a_selector_and_the_name_of_a_port_can_be_typed_again() -> None:
    request = Request(command="pod", source=Target(selector="app in (a, b)"), target=Target(kind="service", name="api", port_name="http"))
    assert command(request) == "kubectl vxtrace pod -l 'app in (a, b)' --to service/api:http --duration 15s"


def test_no_secret_of_the_command_line_stands_in_the_command() -> None:
    access = Access(server="https://a.test", token="hush-token", username="bob", password="hush-password")
    request = Request(command="pod", source=Target(name="web"), target=Target(name="api"), access=access)
    assert "hush" not in command(request)
