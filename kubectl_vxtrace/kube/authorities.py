"""The system's certificate authorities, for the packed program: its OpenSSL is another system's, and looks where that one has them."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

# Go looks for them here, in this order, and so does kubectl (crypto/x509/root_linux.go).
_PLACES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Gentoo, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/pki/tls/cacert.pem",  # OpenELEC
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # CentOS, RHEL 7
    "/etc/ssl/cert.pem",  # Alpine
)


def packed_program_s(environ: Mapping[str, str], places: Iterable[str] = _PLACES) -> str | None:
    """The file to trust where a kubeconfig names none. None leaves it to OpenSSL: where Python is the system's own, where the user says it
    (SSL_CERT_FILE, SSL_CERT_DIR), and where no such file is known."""
    if not getattr(sys, "frozen", False) or environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
        return None
    return next((place for place in places if Path(place).is_file()), None)
