"""A DNS server over UDP that is odd in one way.

nameserver.py ADDRESS:PORT late SECONDS    answers each question after so long
nameserver.py ADDRESS:PORT code NUMBER     answers at once with that response code (RFC 1035, 4.1.1): 0 no error, 2 SERVFAIL, 3 NXDOMAIN
"""

import socket
import sys
import threading

ANSWER, AVAILABLE, CODE = 0x81, 0x80, 0x0F  # first flag byte: QR and RD; second: RA, and the response code in its low bits
LONGEST_BYTES = 4096


def answer(question: bytes, code: int) -> bytes:
    """An answer without records to a question."""
    return question[:2] + bytes((ANSWER, AVAILABLE | code & CODE)) + question[4:6] + bytes(6) + question[12:]


def main() -> None:
    """Answer until it is ended."""
    place, manner, value = sys.argv[1:]
    address, _, port = place.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, int(port)))
        while True:
            question, client = sock.recvfrom(LONGEST_BYTES)
            reply = answer(question, int(value) if manner == "code" else 0)
            if manner == "late":
                threading.Timer(float(value), sock.sendto, (reply, client)).start()
            else:
                sock.sendto(reply, client)


if __name__ == "__main__":
    main()
