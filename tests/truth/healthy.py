"""Healthy paths: what is traced, what is asked meanwhile, on which nodes' shape; nothing may be found on any of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.datapath.records import Lab, LabPod
from tests.truth import words
from tests.truth.cases import BACKENDS, CLIENT, Case, title_of_cluster
from tests.truth.oddities import ODDITIES
from tests.truth.places import Place, running

DURATION_S = 1.6
WANTED = 200
STREAM_PORT = 7001

# What is traced, and what is asked meanwhile, in the words of tests/truth/words.py.
TALKS: tuple[tuple[str, str, str, tuple[tuple[str, ...], ...]], ...] = (
    ("kube-dns", CLIENT, "kube-dns", ()),
    ("kube-dns by port", CLIENT, "svc/kube-system/kube-dns:53/udp", (("ask", "dns", "{kube-dns}", "{question}", "--rate", "60"),)),
    ("kube-dns, few questions", CLIENT, "kube-dns", (("ask", "dns", "{kube-dns}", "{question}", "--rate", "3"),)),
    (
        "DNS pod by its address",
        CLIENT,
        "pod/kube-system/{dns-2.name}",
        (("ask", "dns", "{dns-2.address}:53", "{question}", "--rate", "20"),),
    ),
    ("DNS pod on the third node", CLIENT, "pod/kube-system/{dns-3.name}", (("ask", "ping", "{dns-3.address}", "-", "--rate", "40"),)),
    ("ping", CLIENT, "pod/kube-system/{dns-2.name}", (("ask", "ping", "{dns-2.address}", "-", "--rate", "50"),)),
    ("web, small answers", CLIENT, "slackernews", (("ask", "http", "{slackernews}", "/", "--rate", "20"),)),
    ("web, large answers", CLIENT, "slackernews", (("ask", "http", "{slackernews}", "/bytes/200000", "--rate", "8"),)),
    ("metrics", CLIENT, "kube-dns:9153", (("ask", "http", "{dns-2.address}:9153", "/bytes/30000", "--rate", "10"),)),
    ("a node's own address", CLIENT, "node/ada-ec-2", (("ask", "ping", "{ada-ec-2.address}", "-", "--rate", "20"),)),
    (
        "another node's pod, one backend beside it",
        "default/netshoot-m4t7d",
        "kube-dns",
        (("ask", "dns", "{kube-dns}", "{question}", "--rate", "20"),),
    ),
    ("service on the same node", CLIENT, "kotsadm-rqlite", (("ask", "http", "{kotsadm-rqlite}", "/", "--rate", "20"),)),
    ("headless service", CLIENT, "kotsadm-rqlite-headless", (("ask", "http", "{rqlite.address}:4001", "/bytes/5000", "--rate", "20"),)),
)


def cases() -> Iterator[Case]:
    """On the lab, half on each backend: every talk under every oddity, then all again; with those of the cluster `WANTED` in all."""
    kinds = [(talk, oddity) for oddity in ODDITIES for talk in TALKS]
    for backend in BACKENDS:
        for number in range(-(-WANTED // len(BACKENDS)) - len(TALKS)):
            (title, client, target, traffic), oddity = kinds[number % len(kinds)]
            again = f" ({number // len(kinds) + 1})" if number >= len(kinds) else ""
            name = f"{backend}: healthy, {title}{', ' + oddity if oddity else ''}{again}"
            yield Case(name=name, backend=backend, client=client, target=target, duration_s=DURATION_S, traffic=traffic, oddity=oddity)


def cluster_cases() -> Iterator[Case]:
    """Every talk once, on the real Kubernetes with either network."""
    for backend in BACKENDS:
        for title, client, target, traffic in TALKS:
            name = f"{title_of_cluster(backend)}: healthy, {title}"
            yield Case(name=name, backend=backend, on="cluster", client=client, target=target, duration_s=DURATION_S, traffic=traffic)


def _pod(lab: Lab, name: str) -> LabPod:
    return next(pod for pod in lab.pods if pod.name == name)


@contextmanager
def talking(place: Place, case: Case) -> Iterator[None]:
    """The traffic of a case, while the context lasts."""
    client = _pod(place.lab, case.client.partition("/")[2])
    with ExitStack() as stack:
        for program, *arguments in case.traffic:
            stack.enter_context(running(place, [words.filled(place.lab, word) for word in arguments], client=client, program=program))
        yield
