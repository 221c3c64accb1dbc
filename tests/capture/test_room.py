import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from kubectl_vxtrace.capture.room import Room


def test_no_more_is_let_in_than_there_is_room_for() -> None:
    room, counting = Room(100), threading.Lock()
    held = most = 0

    def take(size_bytes: int) -> None:
        nonlocal held, most
        with room.taken(size_bytes):
            with counting:
                held += size_bytes
                most = max(most, held)
            time.sleep(0.002)
            with counting:
                held -= size_bytes

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [30, 60, 10, 90, 50, 1, 100, 40] * 5))
    assert 60 <= most <= 100
    assert held == 0


def test_what_is_larger_is_let_in_alone() -> None:
    room = Room(10)
    with room.taken(50):
        waiting = threading.Thread(target=lambda: room.taken(1).__enter__())
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_nobody_is_let_in_any_more_once_it_is_closed() -> None:
    room = Room(10)
    with ThreadPoolExecutor(1) as pool, room.taken(10):
        waiting = pool.submit(lambda: room.taken(10).__enter__())
        began_s = time.monotonic()
        room.close(0.05)
        assert time.monotonic() - began_s < 5
        with pytest.raises(CancelledError):
            waiting.result(10)
