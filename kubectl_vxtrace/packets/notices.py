"""What ends say of themselves: DNS and HTTP servers that answer with an error, TCP windows that are shut."""

import numpy as np

from kubectl_vxtrace.model.packets import I64, Notice, Notices
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.packets.cursor import Columns
from kubectl_vxtrace.packets.frames import Frames

_NOT_DESTINATION_PORT = np.uint64((1 << 64) - 1 - (0xFFFF << 8))
_FROM_DNS_SERVER = np.uint64(53 << 24 | IpProtocol.UDP)
_DNS_HEADER_BYTES = 12
_DNS_FLAGS_AT, _DNS_RESPONSE, _DNS_RCODE = 2, 0x8000, 0x000F
"""RFC 1035, 4.1.1."""

_HTTP = int.from_bytes(b"HTTP/1.", "big")
_STATUS_LINE_BYTES = len("HTTP/1.1 500")
_STATUS_AT, _SERVER_ERROR = len("HTTP/1.1 "), ord("5")
"""RFC 9112, 4 and RFC 9110, 15.6."""


def read_notices(frames: Frames, decoded: Columns) -> Notices | None:
    """The notices among the decoded frames, in order of rows; None where there is none."""
    parts = [_dns_errors(frames, decoded), _http_errors(frames, decoded), _shut_windows(decoded)]
    rows = np.concatenate([part.row for part in parts])
    if not len(rows):
        return None
    order = np.argsort(rows, kind="stable")
    return Notices(**{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in Notices.__slots__})


def _dns_errors(frames: Frames, decoded: Columns) -> Notices:
    """Responses whose code is not 0, NOERROR."""
    rows = np.flatnonzero(decoded.conversation[4] & _NOT_DESTINATION_PORT == _FROM_DNS_SERVER)
    rows = _captured(frames, decoded, rows, _DNS_HEADER_BYTES)
    flags = frames.take(decoded.payload_at[rows] + _DNS_FLAGS_AT, np.dtype(">u2"))
    code = np.where(flags & _DNS_RESPONSE, flags & _DNS_RCODE, 0).astype(np.uint16)
    return _notices(rows[code > 0], Notice.DNS_ERROR, code[code > 0])


def _http_errors(frames: Frames, decoded: Columns) -> Notices:
    """Segments that begin with the status line of a server error, 500 to 599."""
    is_tcp = (decoded.conversation[4] & np.uint64(0xFF) == IpProtocol.TCP) & (decoded.payload_bytes >= _STATUS_LINE_BYTES)
    rows = _captured(frames, decoded, np.flatnonzero(is_tcp), _STATUS_LINE_BYTES)
    begins = frames.take(decoded.payload_at[rows], np.dtype(">u8")) >> np.uint64(8) == _HTTP
    rows = rows[begins]
    digits = frames.take(decoded.payload_at[rows] + _STATUS_AT, np.dtype("3u1")).astype(np.int64)
    is_error = (digits[:, 0] == _SERVER_ERROR) & ((digits >= ord("0")) & (digits <= ord("9"))).all(axis=1)
    code = (digits - ord("0")) @ np.array([100, 10, 1])
    return _notices(rows[is_error], Notice.HTTP_ERROR, code[is_error].astype(np.uint16))


def _shut_windows(decoded: Columns) -> Notices:
    rows = np.flatnonzero(decoded.shut)
    return _notices(rows, Notice.SHUT_WINDOW, np.zeros(len(rows), np.uint16))


def _captured(frames: Frames, decoded: Columns, rows: I64, payload_bytes: int) -> I64:
    """Those rows of which so many bytes of the payload are there and were captured."""
    end = decoded.payload_at[rows] + payload_bytes
    good = (decoded.payload_bytes[rows] >= payload_bytes) & (end <= frames.at[rows] + frames.captured_bytes[rows])
    found: I64 = rows[good & (decoded.payload_at[rows] >= 0)]
    return found


def _notices(rows: I64, notice: Notice, code: "np.ndarray[tuple[int], np.dtype[np.uint16]]") -> Notices:
    return Notices(row=rows.astype(np.int32), notice=np.full(len(rows), notice, np.uint8), code=code)
