"""Names of images and quantities, as Kubernetes reads them."""

from decimal import Decimal

import pytest

from kubectl_vxtrace.kube.readiness import full_name, quantity

DIGEST = "sha256:0123"


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("nicolaka/netshoot:v0.16", "docker.io/nicolaka/netshoot:v0.16"),
        ("docker.io/nicolaka/netshoot:v0.16", "docker.io/nicolaka/netshoot:v0.16"),
        ("registry:5000/tools", "registry:5000/tools:latest"),
        ("localhost/tools:1", "localhost/tools:1"),
        (f"nicolaka/netshoot@{DIGEST}", f"docker.io/nicolaka/netshoot@{DIGEST}"),
        (f"registry:5000/a/b:v1@{DIGEST}", f"registry:5000/a/b@{DIGEST}"),
    ],
)
def test_the_full_name_of_an_image(image: str, full: str) -> None:
    assert full_name(image) == full


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", "4"),
        ("500m", "0.5"),
        ("1k", "1000"),
        ("64Mi", "67108864"),
        ("1Gi", "1073741824"),
        ("1e3", "1000"),
        ("2E", "2e18"),
        ("x", "0"),
        ("", "0"),
    ],
)
def test_a_quantity(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)
