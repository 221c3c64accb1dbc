"""What a check names: a cause of loss."""

from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.drop_reasons import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause, which its page beside its module describes.

    remediation: what to do: first a command to look, then one that fixes it; `{names}` in it are filled in by the check (see `remedy`).
    source: where this is known from. admitted: whether the kernel counts the packets that are lost this way, so that a matching growth of
    that counter makes them `dropped` and not `lost`. is_circumstance: what it rests on (a program at XDP, a driver, a feature, an MTU) is
    no mistake as long as nothing shows that it did harm. gives_reason: whether it says why packets were lost, and not only that they were;
    one that does not is no doubt beside one that does. explains: whether it explains anything at all. stage: the earliest place in a node
    at which a packet is lost this way; what the kernel says to have dropped before never came there. None where there are several.
    of_table: it rests on an entry of a table (routes, neighbours, FDB) that all packets to the same destination use.
    beyond_packets: it says why connections fail although their packets are delivered, so that it is the cause of a report in which
    nothing is broken.
    """

    slug: str
    remediation: str
    source: str
    admitted: bool = False
    is_circumstance: bool = False
    gives_reason: bool = True
    explains: bool = True
    stage: Stage | None = None
    of_table: bool = False
    beyond_packets: bool = False

    def remedy(self, **known: str | int | None) -> str:
        """What to do, with the names that the check knows.

        Raises:
            KeyError: the remediation asks for a name that is not given.
        """
        return self.remediation.format(**known)
