import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.topology.selector import parse_selector, selects

LABELS = {"app": "web", "tier": "front", "app.kubernetes.io/name": "shop", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "does"),
    [
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=api", False),
        ("app!=api", True),
        ("none!=api", True),
        ("app!=web", False),
        ("app", True),
        ("!app", False),
        ("!none", True),
        ("app in (api,web)", True),
        ("app in (api, db)", False),
        ("app notin (api, db)", True),
        ("app notin (web)", False),
        ("app.kubernetes.io/name=shop", True),
        ("app=web,tier=front", True),
        ("app in (web,api),tier!=front", False),
        ("empty=", True),
        ("app=", False),
    ],
)
def test_what_kubectl_selects(selector: str, does: bool) -> None:
    assert selects(parse_selector(selector), LABELS) is does


@pytest.mark.parametrize(
    "text", ["", ",", "app=web,", "app>1", "a b", "=web", "app in web", "app in (a b)", "app=wéb", "app=web\n,x=$", "in (a)"]
)
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(UsageError, match="is no label selector") as caught:
        parse_selector(text)
    assert caught.value.hint
