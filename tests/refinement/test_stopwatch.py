import threading
import time

import pytest

from bpr_cli.refinement.stopwatch import Stopwatch


def test_seconds_add_up_over_threads_and_errors():
    watch = Stopwatch(("read", "cut"))

    def busy() -> None:
        with watch("read"):
            time.sleep(0.02)

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.seconds["read"] >= 0.08
    assert watch.seconds["cut"] == 0
    with pytest.raises(ZeroDivisionError), watch("cut"):
        _ = 1 / int(time.sleep(0.001) or 0)
    assert watch.seconds["cut"] > 0
