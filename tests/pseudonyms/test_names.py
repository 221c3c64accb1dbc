"""Names for names: as long, of the same kinds of characters, alike where they were alike."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.pseudonyms.names import Names

KEY = bytes(range(32))
LABELS = st.text(string.ascii_letters + string.digits + "-_\xe9\x80", min_size=1, max_size=63)


def kinds(text: str) -> str:
    return "".join(
        "9" if one.isdecimal() else "A" if one.isupper() and one.isascii() else "a" if one.isascii() and one.isalpha() else one
        for one in text
        if ord(one) < 128
    )


@given(LABELS)
def test_a_label_keeps_its_length_and_its_kinds_of_characters(label: str) -> None:
    found = Names(KEY).label(label)
    assert len(found.encode("latin-1")) == len(label.encode("latin-1"))
    assert kinds(found) == kinds(label)


@given(st.lists(LABELS, min_size=2, max_size=2, unique_by=str.lower))
def test_different_labels_stay_different(labels: list[str]) -> None:
    names = Names(KEY)
    assert names.label(labels[0]).lower() != names.label(labels[1]).lower()


def test_a_pod_begins_as_its_owner_and_dns_says_the_same_names() -> None:
    names = Names(KEY)
    deployment, replicas, pod = map(names.name, ("kotsadm", "kotsadm-58f859745b", "kotsadm-58f859745b-x4nh8"))
    assert pod.startswith(f"{replicas}-")
    assert replicas.startswith(f"{deployment}-")
    assert (
        names.name("Kotsadm-rqlite.kotsadm.svc.cluster.local").lower()
        == f"{deployment}-{names.name('rqlite')}.{deployment}.svc.cluster.local"
    )
    assert names.name("kotsadm/rqlite") == f"{deployment}/{names.name('rqlite')}"
    assert names.name("db-0")[-2:] == "-0"
    assert "kotsadm" not in pod


@pytest.mark.parametrize("name", ["kube-system", "default", "kube-dns", "coredns", "svc", "_tcp", "calico-node"])
def test_what_every_cluster_has_stays(name: str) -> None:
    assert Names(KEY).name(name) == name


def test_a_well_known_name_before_a_hash_stays() -> None:
    found = Names(KEY).name("coredns-86b5dd7f68-9zdn8")
    assert found.startswith("coredns-")
    assert "86b5dd7f68" not in found


@pytest.mark.parametrize(
    "name", ["ip-10-128-0-72", "75.114.244.10.in-addr.arpa", "5.1.0.0.4.4.2.f.ip6.arpa", "10-244-1-5.shop.pod.cluster.local"]
)
def test_an_address_in_a_name_is_hidden_whole(name: str) -> None:
    found = Names(KEY).name(name)
    assert len(found) == len(name)
    assert found[:9] != name[:9]


def test_labels_with_dots_inside_are_no_trap() -> None:
    assert len(Names(KEY).labels(["1.2", "in-addr", "arpa"])) == 3
