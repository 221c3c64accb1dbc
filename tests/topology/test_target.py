import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.target import parse_source, parse_target

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
    ("http://api.shop:8080/x", Target(name="api.shop", port=8080, protocol="TCP")),
    ("http://API.shop/x?y=http://z:1#a", Target(name="api.shop", port=80, protocol="TCP")),
    ("https://api.shop.svc.cluster.local/", Target(kind="service", namespace="shop", name="api", port=443, protocol="TCP")),
    ("http://bob:p%40ss@api:9090", Target(name="api", port=9090, protocol="TCP")),
    ("https://10.96.0.1", Target(address="10.96.0.1", port=443, protocol="TCP")),
    ("http://[fd00::1]:8080/", Target(address="fd00::1", port=8080, protocol="TCP")),
    ("tcp://api:5432", Target(name="api", port=5432, protocol="TCP")),
    ("udp://10.96.0.10:53", Target(address="10.96.0.10", port=53, protocol="UDP")),
    ("postgres://db.shop/orders", Target(name="db.shop", protocol="TCP")),
    ("kube-dns.kube-system", Target(name="kube-dns.kube-system")),
    ("svc/kube-dns.kube-system:dns", Target(kind="service", namespace="kube-system", name="kube-dns", port_name="dns")),
    ("kube-dns.kube-system.svc", Target(kind="service", namespace="kube-system", name="kube-dns")),
    (
        "kube-dns.kube-system.svc.cluster.local.:53/udp",
        Target(kind="service", namespace="kube-system", name="kube-dns", port=53, protocol="UDP"),
    ),
    ("api.shop.svc.corp.example:https", Target(kind="service", namespace="shop", name="api", port_name="https")),
    ("db-0.db.shop.svc.cluster.local", Target(kind="pod", namespace="shop", name="db-0")),
    ("10-244-1-5.shop.pod", Target(address="10.244.1.5")),
    ("10-244-1-5.shop.pod.cluster.local:80", Target(address="10.244.1.5", port=80)),
    ("10-244-1-5.api.shop.svc.cluster.local", Target(address="10.244.1.5")),
    ("fd00--1.shop.pod", Target(address="fd00::1")),
    ("svc/a.b.c.d", Target(kind="service", name="a.b.c.d")),
    ("svc/api.shop.svc.cluster.local", Target(kind="service", namespace="shop", name="api")),
    ("web-0.shop.pod", Target(name="web-0.shop.pod")),
    ("svc/api:http", Target(kind="service", name="api", port_name="http")),
    ("api:dns-tcp/tcp", Target(name="api", port_name="dns-tcp", protocol="TCP")),
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
        "x:Dns",
        "x:-dns",
        "x:dns--tcp",
        "x:a-name-too-long-",
        "x:sixteencharacter",
        "x:dns/icmp",
        "https://",
        "http:///x",
        "http://api:http:1",
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


@pytest.mark.parametrize(
    ("text", "hint"), [("kube-dns:53:udp", "write kube-dns:53/udp"), ("fd00::1:x", "an IPv6 address with a port is written [fd00::1]:53")]
)
def test_what_was_meant_is_told(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert caught.value.hint == hint


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_target("http://bob:secret@api_x:80/")
    assert "secret" not in caught.value.message


def test_the_port_of_a_scheme_gives_way_to_a_flag_and_a_typed_one_does_not() -> None:
    assert parse_target("http://api", port=8080).port == 8080
    for text, port, protocol in (
        ("http://api:80", 8080, None),
        ("http://api", None, "udp"),
        ("api:http", 80, None),
        ("api:http", None, "icmp"),
    ):
        with pytest.raises(UsageError):
            parse_target(text, port=port, protocol=protocol)


def test_a_source_is_named_or_selected() -> None:
    assert parse_source("shop/web-0", None) == Target(namespace="shop", name="web-0")
    assert parse_source(None, "app=web") == Target(selector="app=web")
    for name, selector in ((None, None), ("web-0", "app=web"), (None, "app in"), (None, "")):
        with pytest.raises(UsageError) as caught:
            parse_source(name, selector)
        assert caught.value.hint


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
    assert target.port is None or target.port_name is None
    assert not (target.name or "").startswith("-")
