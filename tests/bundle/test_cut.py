"""What is nobody's business is not in a bundle, and what a check reads is."""

from kubectl_vxtrace.bundle.cut import asked, needed
from kubectl_vxtrace.model.cluster import ClusterSnapshot, NetworkPolicy, Pod, Requirement
from kubectl_vxtrace.model.request import Access, Request, Target

POD = Pod(namespace="shop", name="api", labels={"app": "api", "team": "ledger", "stage": "new", "cost-centre": "4711"})
POLICIES = (
    NetworkPolicy(namespace="shop", name="a", types=("Ingress",), match_labels={"app": "api"}),
    NetworkPolicy(namespace="shop", name="b", requirements=(Requirement(key="stage", operator="NotIn", values=("old",)),)),
    NetworkPolicy(namespace="shop", name="c", requirements=(Requirement(key="gone", operator="Exists"),)),
)


def test_who_asked_and_by_which_file_is_left_out() -> None:
    access = Access(
        kubeconfig="/home/a/.kube/config", context="prod", cluster="c", user="u", namespace="shop", as_user="root", as_groups=("g",)
    )
    found = asked(Request(command="pod", source=Target(name="api"), access=access))
    assert found.access == Access(namespace="shop")
    assert found.source == Target(name="api")


def test_labels_that_policies_select_by_stay_and_with_them_what_they_select() -> None:
    found = needed(ClusterSnapshot(pods=(POD,), policies=POLICIES))
    assert found.pods[0].labels == {"app": "api", "stage": "new"}
    assert [policy.selects(found.pods[0]) for policy in POLICIES] == [policy.selects(POD) for policy in POLICIES] == [True, True, False]


def test_without_policies_no_label_is_kept() -> None:
    assert needed(ClusterSnapshot(pods=(POD,))).pods[0].labels == {}
