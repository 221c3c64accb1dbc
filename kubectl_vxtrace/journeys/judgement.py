"""Thresholds that no standard gives: what each decides, and how often it decides wrongly."""

DOUBLE_NS = 1_000_000
"""Two frames that are the same pass a doubled interface within this. No host uses an IP ID again so soon."""
DOUBLED_SHARE = 0.9
"""The share of frames with a double from which on all are taken for doubled; the kernel may have dropped some."""
SINGLE_SHARE = 0.5
"""Less than this at another tap: the doubles were not sent."""
DOUBLED_LEAST_FRAMES = 4
"""Fewer say nothing: two equal datagrams of which one is lost are no doubled interface."""
DOUBLED_SURE_FRAMES = 16
"""Of fewer all must have a double with their IP ID."""
MOST_PORTS = 256
"""Server ports of one planned flow that are told apart."""
MOST_FOREIGN_SOURCES = 4
"""A pod that routes for a network may send with thousands; the most frequent show what becomes of them."""
FRAGMENT_PAUSE_NS = 1_000_000_000
"""The fragments of a packet leave together. What comes with the same IP ID after such a pause is another packet."""
SAME_OFFSET_NS = 2_000
"""Two stamps of whole microseconds: bounds may contradict each other by that much and mean the same offset."""
CLOCK_STEP_NS = 1_000_000
"""Bounds that contradict each other by less are rounding, or stamps that a tap took late; a step that matters is larger."""
MOST_CLOCK_STEPS = 16
"""More steps of one clock are not told apart."""
WINDOW_MARGIN_NS = 1_000_000_000
"""Taken off the window's end: packets under way when captures stop, and a tcpdump's last frames."""
STOP_STAGGER_NS = 250_000_000
"""Within this, tcpdumps that one command stops on several nodes end one after the other (up to 0.13 s were measured on a busy machine)."""
LATE_ENDS_ONE_IN = 10
"""At most one packet in so many is put down to captures that ended one after the other."""
LIVELY_FRAMES = 10
"""A file with fewer frames, and none of the traced flows, does not say when its capture began: it was quiet there (an ARP request now and
then)."""
SAME_CLOCK_SLACK_NS = 1_000
"""Taps of one node may stamp in us and in ns; what is cut off may make a packet seem earlier at the later one."""
EARLY_ARRIVAL_NS = 20_000
"""Where each copy has a counterpart, only an arrival that is earlier than its departure by more than the clocks of a machine's processors
can differ (a few microseconds) is another packet's: one whose departure came before the capture began, say. A fast retransmission follows
after a round trip, which takes longer."""
EARLY_MERGED_ARRIVAL_NS = 10_000_000
"""The same of what receive offload merged: the frame bears the time of one of its segments; between 20 and 200 us were measured between
that and when the others passed the tap before. The kernel flushes within a poll, or gro_flush_timeout (net/core/gro.c)."""
DUPLICATE_NS = 1_000_000_000
"""A duplicate follows its packet within this; what comes later is a packet of its own (IP IDs come again after 65,536 packets)."""
DUPLICATE_AT_ONE_HOP_NS = 500_000
"""Two packets with one IP ID that begin at one hop within this are one packet that was doubled before. A retransmission comes later."""
UNRELATED_CLOCKS_NS = 10_000_000_000
"""How far clocks that nothing relates may be apart where only that duplicates follow their packet soon is asked."""
