"""What a look was told inside pods' own network namespaces: the answers to `pod-counters.NUMBER` and the like."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kubectl_vxtrace.facts import counters, host, nft
from kubectl_vxtrace.facts.given import Given
from kubectl_vxtrace.facts.iptables import read_iptables
from kubectl_vxtrace.model.datapath import UdpSocket
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.pod_facts import PodFacts

_COUNTERS = "pod-counters."
_NUMBER_DIGITS = 6
_FILTERS: tuple[tuple[str, Callable[[bytes], tuple[Rule, ...]]], ...] = (
    ("pod-iptables", read_iptables),
    ("pod-iptables-legacy", read_iptables),
    ("pod-ip6tables", partial(read_iptables, family=6)),
    ("pod-nft", lambda raw: nft.rules_of(nft.read_items(raw))),
)


def read_pods(given: Given) -> tuple[PodFacts, ...]:
    """The namespaces that were looked into; one that could not be is absent as `pod-counters.NUMBER`."""
    pods = (_read(given, number) for number in _numbers(given))
    return tuple(pod for pod in pods if pod.counters or pod.udp_sockets is not None or pod.listeners is not None)


def read_pod_rules(given: Given) -> tuple[Rule, ...]:
    """The packet filter rules in those namespaces, namespace by namespace; what iptables writes nft lists as well."""
    return tuple(
        replace(rule, namespace=int(number))
        for number in _numbers(given)
        for key, reader in _FILTERS
        for rule in given.read(f"{key}.{number}", reader) or ()
    )


def _numbers(given: Given) -> list[str]:
    return [number for _, number in given.numbered(_COUNTERS) if number.isdecimal() and len(number) <= _NUMBER_DIGITS]


def _read(given: Given, number: str) -> PodFacts:
    counted = given.read(f"{_COUNTERS}{number}", counters.read_tables) or {}
    # Of IPv6 there is nothing to be read where the kernel has none.
    counted |= given.read(f"pod-snmp6.{number}", counters.read_list) or {}
    return PodFacts(
        namespace=int(number),
        counters=counted,
        udp_sockets=_udp(given, number),
        listeners=given.read(f"pod-listeners.{number}", host.read_listeners),
    )


def _udp(given: Given, number: str) -> tuple[UdpSocket, ...] | None:
    """Sockets of both families; None unless those of IPv4 were read."""
    four, six = (given.read(f"{key}.{number}", host.read_udp) for key in ("pod-udp", "pod-udp6"))
    return None if four is None else four + (six or ())
