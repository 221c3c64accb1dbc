"""Colour for a terminal. Colour never says anything that a word does not say as well."""

from dataclasses import dataclass

from kubectl_vxtrace.model.report import Verdict

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_RED = "\x1b[31m"
_GREEN = "\x1b[32m"
_YELLOW = "\x1b[33m"

_BY_VERDICT = {
    Verdict.DROPPED: _RED,
    Verdict.LOST: _RED,
    Verdict.REJECTED: _RED,
    Verdict.UNANSWERED: _RED,
    Verdict.UNDETERMINED: _YELLOW,
    Verdict.NO_TRAFFIC: _YELLOW,
    Verdict.DELIVERED: _GREEN,
    Verdict.NOT_APPLICABLE: _DIM,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """Paints text, or leaves it alone."""

    enabled: bool

    def verdict(self, text: str, verdict: Verdict) -> str:
        """`text` in the colour of `verdict`."""
        return self._paint(text, _BOLD + _BY_VERDICT[verdict])

    def heading(self, text: str) -> str:
        """`text` as a heading."""
        return self._paint(text, _BOLD)

    def bar(self, text: str) -> str:
        """`text` as the bar where packets vanish."""
        return self._paint(text, _RED)

    def _paint(self, text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if self.enabled and text else text
