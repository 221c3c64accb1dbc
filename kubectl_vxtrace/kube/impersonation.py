"""As whom requests are made: headers of kubernetes.io/docs/reference/access-authn-authz/user-impersonation."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.request import Access

_HEADER_NAME = "!#$&'*+-.^_`|~"  # besides letters and digits: RFC 9110, 5.6.2; the % is how others are written


def impersonation(access: Access, user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """`--as`, `--as-uid`, `--as-group` and `--as-user-extra`, else the kubeconfig user's own `as`, `as-groups`, `as-uid`, `as-user-extra`.

    Raises:
        UsageError: a flag without --as, or what no header may hold.
    """
    name = access.as_user or user.get("as")
    groups = access.as_groups or tuple(user.get("as-groups") or ())
    if not name:
        given = {"--as-group": groups, "--as-uid": access.as_uid, "--as-user-extra": access.as_user_extra}
        if flag := next((flag for flag, value in given.items() if value), None):
            raise UsageError(f"{flag} needs --as", f"say whom to act as: --as USER {flag} ...")
        return ()
    headers = [("Impersonate-User", str(name)), *(("Impersonate-Group", str(group)) for group in groups)]
    if uid := access.as_uid or (None if access.as_user else user.get("as-uid")):
        headers.append(("Impersonate-Uid", str(uid)))
    headers += [(_extra_header(key), value) for key, value in access.as_user_extra]
    if not access.as_user and not access.as_user_extra:
        for key, values in (user.get("as-user-extra") or {}).items():
            headers += [(_extra_header(str(key)), str(value)) for value in values]
    if any("\n" in value or "\r" in value for _, value in headers):
        raise UsageError("--as, --as-uid, --as-group and --as-user-extra must not contain line breaks")
    if any(0xD800 <= ord(letter) < 0xE000 for _, value in headers for letter in value):
        raise UsageError("--as and --as-group must be UTF-8", "check the encoding of your terminal")
    return tuple(headers)


def _extra_header(key: str) -> str:
    """The header of a user extra: what a header's name may not hold is percent-encoded (client-go, transport/round_trippers.go)."""
    return f"Impersonate-Extra-{quote(key, safe=_HEADER_NAME)}"
