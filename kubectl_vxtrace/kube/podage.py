"""Ages of objects."""

import datetime


def age_s(created: str | None, now_s: float) -> float | None:
    """Seconds since an RFC 3339 creationTimestamp, or None where it cannot be read.

    Args:
        created: the object's creationTimestamp.
        now_s: Unix seconds by the API server's clock.
    """
    if not created:
        return None
    try:
        moment = datetime.datetime.fromisoformat(created)
    except ValueError:
        return None
    return now_s - (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
