"""What is known of a cause, in short; its page in docs/causes says more."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a slug stands for.

    title: a few words. text: how it comes about and how it shows. remediation: what to do, in general: first a command to look, then one
    to mend; a finding may say it with names. source: where this is known from. admitted: whether the kernel counts the packets that are
    lost this way, so that a matching growth of that counter makes them `dropped` and not `lost`.
    """

    slug: str
    title: str
    text: str
    remediation: str
    source: str
    admitted: bool = False
