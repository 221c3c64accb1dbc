"""Which kind of capture file it is."""

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets.pcap import PcapReader, is_pcap
from kubectl_vxtrace.packets.pcapng import SECTION_MAGIC, PcapngReader
from kubectl_vxtrace.packets.source import Window

HINT = "give a file that tcpdump or Wireshark wrote (pcap, pcapng, or one of these gzipped)"


def open_reader(window: Window) -> PcapReader | PcapngReader:
    """The reader for what the window shows. Raises PcapError where it is no capture file."""
    magic = window.data[: min(window.size, 4)].tobytes()
    if not magic:
        raise PcapError("it is a damaged gzip file" if window.broken else "it is empty", HINT)
    if is_pcap(magic):
        return PcapReader(window)
    if magic == SECTION_MAGIC:
        return PcapngReader(window)
    raise PcapError("it is not a capture file", HINT)
