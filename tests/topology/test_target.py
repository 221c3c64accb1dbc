import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.resolve import parse_target

_TYPED = [
    ("kube-dns", Target(name="kube-dns")),
    ("kube-dns:53", Target(name="kube-dns", port=53)),
    ("kube-dns:53/udp", Target(name="kube-dns", port=53, protocol="UDP")),
    ("kube-system/kube-dns:53/TCP", Target(namespace="kube-system", name="kube-dns", port=53, protocol="TCP")),
    ("svc/kube-dns", Target(kind="service", name="kube-dns")),
    ("services/kube-system/kube-dns:1", Target(kind="service", namespace="kube-system", name="kube-dns", port=1)),
    ("po/x", Target(kind="pod", name="x")),
    ("pods/n/x:65535", Target(kind="pod", namespace="n", name="x", port=65535)),
    ("deploy/x", Target(kind="deployment", name="x")),
    ("deployment.apps/kotsadm", Target(kind="deployment", name="kotsadm")),
    ("sts/x", Target(kind="statefulset", name="x")),
    ("ds/n/x", Target(kind="daemonset", namespace="n", name="x")),
    ("no/ada-ec-2", Target(kind="node", name="ada-ec-2")),
    ("node/10.128.0.72", Target(kind="node", name="10.128.0.72")),
    ("ip-10-0-0-1.ec2.internal", Target(name="ip-10-0-0-1.ec2.internal")),
    ("10.96.0.10", Target(address="10.96.0.10")),
    ("10.96.0.10:53/udp", Target(address="10.96.0.10", port=53, protocol="UDP")),
    ("[fd00::1]:53", Target(address="fd00::1", port=53)),
    ("[fd00::1]", Target(address="fd00::1")),
    ("fd00:0::1", Target(address="fd00::1")),
    # A first part that spells a TYPE is one, also where a namespace of that name could be meant.
    ("pod/node", Target(kind="pod", name="node")),
    # A prefix may end where the generated part begins.
    ("kotsadm-58f859745b-", Target(name="kotsadm-58f859745b-")),
]


@pytest.mark.parametrize(("text", "target"), _TYPED)
def test_reads_what_kubectl_users_type(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-x",
        "--image=evil",
        "-n",
        "kotsadm/-x",
        "svc/",
        "/x",
        "a/b/c",
        "pod/a/b/c",
        "job/a/b",
        "node/ns/x",
        "Kube-DNS",
        "kube dns",
        "x;reboot",
        "$(id)",
        "x\n",
        "x\x1b[31m",
        "ünamed",
        "a" * 254,
        "a_b",
        "ns_/x",
        "ns./x",
        "x:",
        "x:0",
        "x:65536",
        "x:-1",
        "x:+5",
        "x:53/",
        "x:53/sctp",
        "x:53/udp/udp",
        "x:dns",
        "x:" + "9" * 5000,
        "x:٥٣",
        "x:53/icmp",
        "[fd00::1",
        "[fd00::1]53",
        "[10.0.0.1]:53",
        "[fe80::1%eth0]:53",
        "fd00::xyz",
        "fe80::1%eth0",
    ],
)
def test_refuses_what_is_no_target(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert caught.value.hint
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()


def test_flags_complete_a_target() -> None:
    assert parse_target("kube-dns", port=53, protocol="udp") == Target(name="kube-dns", port=53, protocol="UDP")
    assert parse_target("kube-dns:53/udp", port=53, protocol="UDP") == Target(name="kube-dns", port=53, protocol="UDP")
    assert parse_target("pod/x", protocol="icmp") == Target(kind="pod", name="x", protocol="ICMP")


@pytest.mark.parametrize(("port", "protocol"), [(54, None), (None, "tcp"), (None, "icmp"), (0, None), (70000, None), (None, "x")])
def test_flags_may_not_contradict_a_target(port: int | None, protocol: str | None) -> None:
    with pytest.raises(UsageError):
        parse_target("kube-dns:53/udp", port=port, protocol=protocol)


@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    try:
        target = parse_target(text)
    except UsageError:
        return
    assert (target.name is None) != (target.address is None)
    assert not (target.name or "").startswith("-")
