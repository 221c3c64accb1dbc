import pytest

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.namespaces import require
from kubectl_vxtrace.kube.snapshot import near
from kubectl_vxtrace.model.request import Access, Request, Target
from tests.kube.fake import Fake

SHOP = "/api/v1/namespaces/shop"


def test_one_that_exists(fake: Fake, connection: Connection) -> None:
    require(connection, "shop")
    assert [path for _, path, _, _ in fake.seen] == [SHOP]


def test_one_that_does_not(connection: Connection) -> None:
    with pytest.raises(UsageError) as caught:
        require(connection, "shup")
    assert (caught.value.message, caught.value.exit_code) == ('namespaces "shup" not found', 2)


def test_who_may_not_ask_is_not_told_that_there_is_none(fake: Fake, connection: Connection) -> None:
    fake.namespaces.clear()
    fake.forbidden.add(SHOP)
    require(connection, "shop")


def test_an_api_that_does_not_answer(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", SHOP] = [(401, {"message": "Unauthorized"}, {})]
    with pytest.raises(CannotRunError, match="credentials"):
        require(connection, "shop")


@pytest.mark.parametrize(
    "request_",
    [
        Request(command="pod", source=Target(name="web"), access=Access(namespace="shup")),
        Request(command="pod", source=Target(namespace="shup", name="web")),
        Request(command="pod", source=Target(name="web"), target=Target(namespace="shup", name="api")),
        Request(command="pod", source=Target(namespace="shop", name="web"), access=Access(namespace="shup")),
    ],
)
def test_a_request_names_only_namespaces_that_exist(fake: Fake, connection: Connection, request_: Request) -> None:
    with pytest.raises(UsageError, match='namespaces "shup" not found'):
        near(connection, request_)
    fake.forbidden.add("/api/v1/namespaces/shup")
    assert near(connection, request_).pods == ()


def test_the_contexts_own_namespace_was_not_named_by_the_user(fake: Fake, connection: Connection) -> None:
    fake.namespaces.clear()
    assert near(connection, Request(command="pod", source=Target(name="web"))).pods == ()
