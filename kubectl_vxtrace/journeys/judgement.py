"""Thresholds that no standard gives. Each says what it decides, and how often it decides wrongly.

False: something is said that is not so (a loss that was none, two packets taken for one). Missed: something that is so is not said, which
costs an undetermined packet, a blind hop or a latency. Both as a probability and of what, 0 where it cannot happen; "derived" from the
assumption that stands beside it, or "measured" in recordings of the lab by `python -m tests.journeys.measure`: 376 traces on one real
kernel, 2,875 taps, 324,829 pairs of sightings at two taps of one node. What never happened among n is given as below 3 / n (95 %
confidence).
"""

DOUBLE_NS = 1_000_000
"""Two frames that are the same in all headers are one frame that an interface showed twice if they are no further apart.

False: 0 a frame below 6e7 packets a second, with which an IP ID comes again so soon (derived: 65,536 in 1 ms).
Missed: below 1e-3 a frame (measured: of the sightings at neighbouring taps of a node 99.9 % are less than 0.25 ms apart).
"""
DOUBLED_SHARE = 0.9
"""So many of a tap's frames have a double where the tap is doubled.

False: below 1.1e-3 a tap (measured: 0 of 2,875 had any double); 1e-16 (derived: eight packets, all doubled by a network that doubles 1 %).
Missed: 0 a tap where the kernel dropped less than 10 % of the frames (derived: a frame's double is missing as often as any frame).
"""
SINGLE_SHARE = 0.5
"""Fewer of a tap's frames have a double where its packets were sent once; asked only where no frame has an IP ID.

False: 0 a tap, for what follows from it is only that another tap is no witness (derived).
Missed: 0 a tap up to a loss of half the packets (derived: of what is sent twice, so many lose their double).
"""
DOUBLED_LEAST_FRAMES = 4
"""Fewer frames do not show that a tap is doubled.

False: 1e-4 a tap with no more frames (derived: two packets, both doubled by a network that doubles 1 %).
Missed: 1 a tap with fewer frames (derived: it is not asked); what was seen there twice is then two packets.
"""
DOUBLED_SURE_FRAMES = 16
"""Of fewer frames all must have a double where the tap is doubled.

False: 1e-10 a tap with ten frames (derived: five packets, all doubled by a network that doubles 1 %).
Missed: 0 a tap where the kernel dropped nothing (derived).
"""
MOST_PORTS = 256
"""Server ports of one planned flow that are told apart; packets to further ones stay together in one flow.

False: 0 (derived: it only says how finely flows are listed).
Missed: 0 a trace to fewer ports of one pod (derived).
"""
MOST_FOREIGN_SOURCES = 4
"""Addresses that a client's pod sends with and that are not its own, of which flows are made: the most frequent.

False: 0 (derived: it only says how many are listed).
Missed: 0 a pod that uses no more; one that routes for a network may use thousands, which share one fate (derived).
"""
FRAGMENT_PAUSE_NS = 1_000_000_000
"""Fragments with one IP ID that are further apart are of two packets.

False: r / 32,768 a packet beside another socket that sends r fragmented packets a second, and only where a fragment is missing as well
(derived: IP IDs of two sockets are equal in one of 65,536, within a second before or after).
Missed: 0 a packet whose fragments are delayed by less than a second (derived: they leave together).
"""
SAME_OFFSET_NS = 2_000
"""Bounds of two clocks that contradict each other by no more mean one offset.

False: 0 a clock; the latency that is claimed is off by 2 us at most (derived).
Missed: 0 a clock that keeps its offset (derived: two stamps of whole microseconds).
"""
CLOCK_STEP_NS = 1_000_000
"""Bounds that contradict each other by more show that a clock was stepped.

False: below 1e-5 a sighting (measured: 0 of 324,829 were seen before the tap in front of them, let alone by 1 ms).
Missed: 1 a step of less than 1 ms, by half of which latencies are then off (derived).
"""
MOST_CLOCK_STEPS = 16
"""Steps of one clock that are told apart.

False: 0 a clock (derived: no latency is claimed of one that was stepped at all).
Missed: 0 a clock with fewer steps (derived); time daemons step a few times at most, when they start.
"""
WINDOW_MARGIN_NS = 1_000_000_000
"""Packets of the last so many nanoseconds before the first capture stops are not counted: they may be under way. On a path that is seen
to take longer than half of it, twice that (judge/counted.py, under_way). Of captures that leave nothing else, all is counted if nothing
is missing.

False: 0 a packet that takes less than a second over its path, or not longer than others of its path (derived).
Missed: 1 / T of the packets of a trace of T seconds (derived).
"""
STOP_STAGGER_NS = 250_000_000
"""Files of others end within so much of each other where their captures were stopped together.

False: not known; the ends were up to 0.13 s apart (measured, but not counted, on a busy machine).
Missed: 0.25 / T of the losses of T seconds, if no packet came later (derived).
"""
LATE_ENDS_ONE_IN = 10
"""At most one packet, or one in so many, is put down to captures that ended one after the other; more is a loss that began late.

False: 1 a recording of less than 2.5 s with more than 4 packets a second, whose files ended 0.25 s apart, 0 a longer one of steady
traffic (derived: 0.25 s / 10 %).
Missed: 0.1 of the packets at most, and only of the last 0.25 s (derived).
"""
LIVELY_FRAMES = 10
"""A file with fewer frames, and none of the traced flows, does not say when its capture began.

False: 0 a packet (derived: a later beginning only shortens the window).
Missed: 3e-2 a file for 30 % of the window (derived: no frame of ten falls into the first 30 % of the time: 0.7 ** 10).
"""
SAME_CLOCK_SLACK_NS = 1_000
"""A packet may seem so much earlier at the later of two taps: one stamps whole microseconds, the other nanoseconds.

False: 0 a packet; of two equal packets less than 1 us apart the wrong one may be taken for the one that arrived (derived).
Missed: 0 a packet on one clock (derived: what is cut off is less than 1 us).
"""
EARLY_ARRIVAL_NS = 20_000
"""Where each copy has a counterpart, an arrival that is earlier than its departure by more is another packet's.

False: below 1e-5 a packet (measured: 0 of 319,163 were early at all; clocks of a machine's processors differ by a few us).
Missed: 0 a copy that its sender sent again after a round trip between nodes, which takes longer (derived).
"""
EARLY_MERGED_ARRIVAL_NS = 10_000_000
"""The same of what receive offload merged: the frame bears the time of one of its segments.

False: below 6e-4 a super-packet (measured: 0 of 5,666 were early; 99.9 % came 1 to 219 us late). The kernel flushes within a poll, or
gro_flush_timeout (net/core/gro.c); nothing is claimed of one above 10 ms.
Missed: 1 a copy that was sent again within 10 ms and merged, if each copy has a counterpart (derived).
"""
DUPLICATE_NS = 1_000_000_000
"""What the network doubled follows its packet within so much; what comes later is a packet of its own.

False: 0 a packet below 65,536 a second from one socket, with which IP IDs come again so soon (derived).
Missed: 0 a duplicate that is delayed by less than a second (derived).
"""
DUPLICATE_AT_ONE_HOP_NS = 500_000
"""Two equal packets with one IP ID, inner or outer, that begin at one hop within so much are one that was doubled before.

False: 1.5e-5 a retransmission within 0.5 ms (derived: only outer IP IDs can be equal by chance, one in 65,536).
Missed: 1 a duplicate that comes later (derived); it counts as a packet.
"""
UNRELATED_CLOCKS_NS = 10_000_000_000
"""Clocks that nothing relates are no further apart where only that duplicates follow their packet soon is asked.

False: 0 a packet below 5,900 a second from one socket (derived: IP IDs come again within 11 s at that rate).
Missed: 1 a duplicate between nodes whose clocks are further apart (derived); nodes with a time daemon are within 0.1 s.
"""
