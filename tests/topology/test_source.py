"""The pod, or pods, that a trace starts at, where a workload or labels are named."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.request import Access, Request
from kubectl_vxtrace.topology.resolve import NotFoundError, resolve, source_choice
from kubectl_vxtrace.topology.source import MOST_PODS
from kubectl_vxtrace.topology.target import parse_source, parse_target
from tests.topology.build import pod, snapshot

KOTSADM = "kotsadm/kotsadm-58f859745b-x4nh8"


def selected(selector: str, namespace: str | None = "shop") -> Request:
    return Request(
        command="pod", source=parse_source(None, selector), target=parse_target("kube-dns.kube-system"), access=Access(namespace=namespace)
    )


def shop(*names: str, phase: str = "Running") -> ClusterSnapshot:
    pods = tuple(
        pod(f"shop/{name}", "ada-ec-1", f"10.244.114.{at}", labels={"app": "web"}, phase=phase) for at, name in enumerate(names, 10)
    )
    return snapshot(pods=(*snapshot().pods, *pods, pod("other/web-z", "ada-ec-1", "10.244.114.99", labels={"app": "web"})))


def test_a_selector_picks_the_first_ready_pod_of_the_namespace_and_says_so() -> None:
    cluster = shop("web-b", "web-a", "web-c")
    assert resolve(selected("app=web"), cluster)[0].client.pod == "shop/web-a"
    assert source_choice(selected("app=web"), cluster) == (
        "3 pods run for app=web: tracing shop/web-a; to trace another, name it: shop/web-b, shop/web-c (--all-pods: all of them)"
    )


def test_one_pod_is_no_choice() -> None:
    assert source_choice(selected("app=web"), shop("web-a")) is None
    request = Request(command="pod", source=parse_target(KOTSADM), target=parse_target("kube-dns"))
    assert source_choice(request, snapshot()) is None
    one = Request(command="pod", source=parse_target("sts/kotsadm/kotsadm-rqlite"), target=parse_target("kube-dns"))
    assert source_choice(one, snapshot()) is None


def test_of_a_workload_with_several_pods_it_is_said_which_is_traced() -> None:
    request = Request(command="pod", source=parse_target("deploy/kube-system/coredns"), target=parse_target("kotsadm"))
    assert (source_choice(request, snapshot()) or "").startswith(
        "2 pods run for deployment/coredns: tracing kube-system/coredns-86b5dd7f68-9zdn8;"
    )


def test_a_selector_without_a_running_pod() -> None:
    with pytest.raises(NotFoundError, match="no pod in namespace shop has the labels app=api"):
        resolve(selected("app=api"), shop("web-a"))
    with pytest.raises(UsageError, match="no pod with app=web runs:\n  shop/web-a: Pending"):
        resolve(selected("app=web"), shop("web-a", phase="Pending"))


def all_of(selector: str = "app=web") -> Request:
    return replace(selected(selector), all_pods=True)


def test_all_pods_of_a_selector_ask_each_backend() -> None:
    cluster = shop("web-b", "web-a")
    flows = resolve(all_of(), cluster)
    assert [flow.id for flow in flows] == list(range(1, len(flows) + 1))
    assert list(dict.fromkeys(flow.client.pod for flow in flows)) == ["shop/web-a", "shop/web-b"]
    alike = [replace(flow, id=0, client=flows[0].client) for flow in flows]
    assert alike[: len(flows) // 2] == alike[len(flows) // 2 :]
    assert source_choice(all_of(), cluster) is None


def test_all_pods_of_a_workload() -> None:
    request = Request(
        command="pod", source=parse_target("deploy/kube-system/coredns"), target=parse_target(f"pod/{KOTSADM}"), all_pods=True
    )
    assert len({flow.client.pod for flow in resolve(request, snapshot())}) == 2


def test_all_pods_where_one_is_named_is_a_mistake() -> None:
    request = Request(command="pod", source=parse_target(KOTSADM), target=parse_target("kube-dns"), all_pods=True)
    with pytest.raises(UsageError, match="--all-pods: one pod is named"):
        resolve(request, snapshot())


def test_too_many_pods_are_not_traced_at_once() -> None:
    with pytest.raises(UsageError, match=f"{MOST_PODS + 1} pods run for app=web, and at most {MOST_PODS}"):
        resolve(all_of(), shop(*(f"web-{number}" for number in range(MOST_PODS + 1))))
