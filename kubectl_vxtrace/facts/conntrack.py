"""Connections: `conntrack -L -o extended`, or /proc/net/nf_conntrack, which prints the same."""

from kubectl_vxtrace.model.facts import ConntrackEntry

_PROTOCOLS = {"udp": "UDP", "tcp": "TCP", "icmp": "ICMP", "icmpv6": "ICMPV6"}


def read_conntrack(raw: bytes) -> tuple[ConntrackEntry, ...]:
    """All entries that can be read; lines that are none are passed over (the table changes while it is printed)."""
    lines = raw.decode("utf-8", "replace").splitlines()
    return tuple(entry for line in lines if (entry := _entry(line.split())) is not None)


def _entry(words: list[str]) -> ConntrackEntry | None:
    """`ipv4 2 tcp 6 86399 ESTABLISHED src= dst= sport= dport= packets= bytes= src= dst= ... [ASSURED] mark=0 use=1`.

    The first src= begins the original direction, the second the reply's. The protocol is the word before a number and the
    time-out; the family's name comes first only in the extended form.
    """
    name = next((word for word in words[:3] if word in _PROTOCOLS), None)
    original, reply = _tuples(words)
    if name is None or not {"src", "dst"} <= original.keys() or not {"src", "dst"} <= reply.keys():
        return None
    state = next((word for word in words if word.isupper() and word.replace("_", "").isalnum() and not word[0].isdigit()), None)
    return ConntrackEntry(
        protocol=_PROTOCOLS[name],
        original_source=original["src"],
        original_destination=original["dst"],
        reply_source=reply["src"],
        reply_destination=reply["dst"],
        original_source_port=_number(original, "sport", "id"),
        original_destination_port=_number(original, "dport", "id"),
        reply_source_port=_number(reply, "sport", "id"),
        reply_destination_port=_number(reply, "dport", "id"),
        original_packets=_number(original, "packets"),
        reply_packets=_number(reply, "packets"),
        state=state,
        unreplied="[UNREPLIED]" in words,
    )


def _tuples(words: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    tuples: list[dict[str, str]] = []
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            continue
        if name == "src":
            tuples.append({})
        if tuples:
            tuples[-1].setdefault(name, value)
    return (tuples[0], tuples[1]) if len(tuples) > 1 else ({}, {})


def _number(fields: dict[str, str], *names: str) -> int | None:
    for name in names:
        value = fields.get(name, "")
        if value.isascii() and value.isdigit() and len(value) < 20:
            return int(value)
    return None
