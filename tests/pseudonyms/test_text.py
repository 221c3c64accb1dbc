"""What identifies somebody is found wherever it stands in a text."""

import re

import pytest

from kubectl_vxtrace.pseudonyms.text import Text

KEY = bytes(range(32))


@pytest.fixture
def text() -> Text:
    made = Text(KEY)
    made.learn(["node-1.example", "node-1", "shop", "frontend", "frontend-7d9f-abcde", "kube-dns", "tcp", None, ""])
    return made


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("inet 10.244.114.75/26 brd 10.244.114.127", "10.244"),
        ("[fd00:1::15]:53 fd00:1::/64", "fd00:1:"),
        ("lladdr 52:58:71:ce:a1:8b STALE", "52:58"),
        ('{\\"VtepMAC\\":\\"12:63:d2:bf:4d:b8\\"}', "12:63"),
        ("-A KUBE-SVC-ERIFXISQEP7F7OF4 -j KUBE-SEP-ABCDEFGHIJ234567", "ERIF"),
        ("cali-tw-cali9d8b6a7d855 net.ipv4.conf.cali9d8b6a7d855.rp_filter", "9d8b6a7d855"),
        ("dev enx001122334455", "001122"),
        ("uid 2f017651-69b2-4f97-81ae-10cdc5bf4f88", "2f017651"),
        ("peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= up", "xTIBA5"),
        ('--comment "shop/frontend:http cluster IP"', "shop"),
        ("node-1-pod.pcap", "node-1"),
        ("on node-1.example: no", "example"),
        ("vxtrace-7f3a-node-1", "node-1"),
        ("shop/frontend-7d9f-abcde", "7d9f"),
    ],
)
def test_it_is_hidden(text: Text, said: str, hidden: str) -> None:
    found = text(said)
    assert hidden not in found
    assert text(said) == found


@pytest.mark.parametrize(
    "said",
    [
        "12:30:45.123456",
        "std::string",
        "6.18.44-fc-v769",
        "workshop",
        "-p tcp --dport 53",
        "kube-system/kube-dns:dns",
        "169.254.1.1",
        "ee:ee:ee:ee:ee:ee",
        "255.255.255.255 127.0.0.1 ::1",
        "1.2.3.4.5",
        "999.1.1.1",
        "eth0 ens4 vxlan.calico flannel.1 cali-FORWARD",
        "10.0.0.0/8",
    ],
)
def test_what_identifies_nobody_stays(text: Text, said: str) -> None:
    assert text(said) == said


def test_names_in_texts_are_those_in_fields(text: Text) -> None:
    assert text("shop/frontend-7d9f-abcde") == text.names.name("shop/frontend-7d9f-abcde")
    assert text("pod frontend") == f"pod {text.names.name('frontend')}"


def test_a_hash_of_kube_proxys_is_read_as_one(text: Text) -> None:
    for number in range(50):
        chain = text(f"KUBE-SEP-ABCDEFGHIJ2345{number % 6 + 2}{chr(65 + number % 26)}")
        assert re.fullmatch("KUBE-SEP-[A-Z2-7]{16}", chain), chain
