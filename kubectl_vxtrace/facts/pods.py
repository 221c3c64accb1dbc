"""What a look was told inside pods' own network namespaces: the answers to `pod-counters.NUMBER` and the like."""

from kubectl_vxtrace.facts import counters, host
from kubectl_vxtrace.facts.given import Given
from kubectl_vxtrace.model.datapath import UdpSocket
from kubectl_vxtrace.model.pod_facts import PodFacts

_COUNTERS = "pod-counters."
_NUMBER_DIGITS = 6


def read_pods(given: Given) -> tuple[PodFacts, ...]:
    """The namespaces that were looked into; one that could not be is absent as `pod-counters.NUMBER`."""
    numbers = [number for _, number in given.numbered(_COUNTERS) if number.isdecimal() and len(number) <= _NUMBER_DIGITS]
    pods = (_read(given, number) for number in numbers)
    return tuple(pod for pod in pods if pod.counters or pod.udp_sockets is not None or pod.listeners is not None)


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
