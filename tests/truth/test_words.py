"""Names and addresses of a lab in texts."""

import pytest

from tests.datapath import shape
from tests.truth import words

LAB = shape.lab("calico", 3, "/nowhere")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{ada-ec-2.address}", "10.128.0.95"),
        ("{ada-ec-2.pod_cidr}", "10.244.56.128/26"),
        ("{ada-ec-2.pod_cidr[22]}", "10.244.56.150"),
        ("{ada-ec-2.pod_cidr[-6]}", "10.244.56.186"),
        ("{dns-2.name}", "coredns-86b5dd7f68-9zdn8"),
        ("{web.address}", "10.244.56.131"),
        ("{host-1.namespace}/{host-1.name}", "kube-system/kube-proxy-k2v8c"),
        ("{slackernews}", "10.106.0.218:3000"),
        ("{slackernews.cluster_ip}", "10.106.0.218"),
        ("-i {vxlan} --dport {port} from {pods}", "-i vxlan.calico --dport 4789 from 10.244.0.0/16"),
        ("chain x { type filter hook input; }", "chain x { type filter hook input; }"),
        ("awk '{print $1}'", "awk '{print $1}'"),
    ],
)
def test_what_stands_in_braces_is_filled_in(text: str, filled: str) -> None:
    assert words.filled(LAB, text) == filled


@pytest.mark.parametrize(("text", "error"), [("{nobody.address}", KeyError), ("{webb}", KeyError), ("{web.adress}", AttributeError)])
def test_a_word_that_the_lab_does_not_have_is_an_error(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        words.filled(LAB, text)


def test_places_have_namespaces() -> None:
    places = ("ada-ec-1", "client", "host-2", "fabric")
    assert [words.namespace(LAB, place) for place in places] == ["ada-ec-1", "pod-kotsadm-58f859745b-x4nh8", "ada-ec-2", "vxlab-fabric"]
