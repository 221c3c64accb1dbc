"""Questions to a node about itself, and what its answers mean. Pure: kube asks them."""

from kubectl_vxtrace.facts.answer import parse, texts
from kubectl_vxtrace.facts.question import look

__all__ = ["look", "parse", "texts"]
