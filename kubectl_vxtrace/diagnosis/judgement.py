"""The thresholds of the diagnosis that no standard gives: what each decides, and how often it errs.

Shares and chances are parts of one. "Chance" is the probability that packets lost at random would show the same. Values that a standard or
the kernel's source gives stand where they are used, or in `model.protocol`.
"""

from math import comb

FEW_PACKETS = 3
"""With fewer lost packets (frames, outer source ports) than this, whatever fits all of them may be an accident.

Of a link that loses a tenth of its packets at random, three in a row are lost once in 1,000 times; two once in 100.
"""

FEW_LOST_PORTS = 2
"""So many outer source ports must be lost as a whole, each with `FEW_PACKETS` packets, before one of several paths is named.

Six packets of two ports lost, and no packet of the others: at a loss of a tenth once in a million times, times the choices of two
ports.
"""

FEW_COMPARED = 8
"""So many of the datagrams that --ab sends must be lost, and to say that one kind is lost as many must arrive. Where half of all are lost
at random, sixteen are divided by one kind once in 65,000 times; there are 26 kinds, and a whole trace sends 256 datagrams."""

FEW_OF_A_SOURCE_PORT = 2
"""So many datagrams of one kind must be lost from a source port before it is said to lose all of them."""

LARGE_BYTES = 1280
"""What is larger may die of an MTU, also of one that nothing else shows. RFC 8200, 5: every IPv6 link carries so much; taken for frames,
which are 14 bytes longer than their packets, so that it errs towards the doubt."""

MAX_SIZE_CHANCE = 0.005
"""An MTU is named by the sizes alone, without a doubt, if chance would have put the lost packets above all that passed less often than
this: one loss in 200 that is not about sizes would be said to be."""

MAX_SIZE_OPEN_CHANCE = 0.05
"""In a loss profile an MTU is left open as a cause down to this chance; one loss in 20 that is not about sizes is said to hit the larger
ones."""

FEW_LOSSES = 4
"""With fewer losses than this nothing is said of a period: three gaps are the least that can be compared."""

REGULAR_SPREAD = 0.15
"""Gaps between losses whose standard deviation is below this part of their mean are called regular. Of gaps between losses at random
(exponential; 660,000 draws) three look so in 2.7 % of cases, four in 0.5 %, six in 0.02 %."""

MAX_SHARE_OF_FIRSTS = 0.5
"""That only first packets of connections are lost is said if fewer than this of the packets that passed are first ones: where most are,
a loss of one packet hits a first one more often than not."""

NEARLY_FULL = 0.95
"""The connection tracking table counts as full from this share of its limit on: entries end between the drop and the look. A table that
is that full in good health is named only where a counter of drops grew as well, or as `possible`."""

RACE_NS = 5_000_000
"""Two queries of one socket within this time race for one entry, which is confirmed when the first of them leaves the node, microseconds
later. A resolver's own retry comes after 5 s (resolv.conf(5), timeout), a thousand times later, so that none is taken for a racing
query."""

PLAUSIBLE_FACTOR = 2
"""A counter of all traffic may have grown by so many times the lost packets and still be about them: at least half of what it counted
is."""

SOONEST_GIVEN_UP_NS = 900_000_000
"""No client gives up an answer sooner than a second (the least `timeout` in resolv.conf(5), less what clocks and queues blur). What it
refuses before was a second answer to the same question, or its program was ended."""

IDLE_NS = 1_000_000_000
"""Where a node's time-out for connections was not read, a connection counts as idle that rested for a second: a sender that waits for an
answer sends again after its round-trip time and 200 ms (Linux TCP_RTO_MIN), within a cluster a fifth of it."""


def largest_by_chance(lost: int, passed: int) -> float:
    """How probable it is that of packets lost at random all lost ones are larger than all that passed."""
    return 1 / comb(lost + passed, lost)
