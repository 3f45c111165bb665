"""The service of the page, in a real server that many threads ask at once."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import bpr_cli
from tests.docs.pages import blocks_of
from tests.inference.engines import blob, picture

SIZE = (24, 30)
CASES = [(picture(SIZE, seed), blob(SIZE, seed)) for seed in range(10)]
THREADS, REQUESTS = 8, 500


@pytest.fixture(scope="module")
def service(make_refiner):
    """Address of the running service, and its refiner."""
    uvicorn = pytest.importorskip("uvicorn")
    for package in ("fastapi", "python_multipart"):
        pytest.importorskip(package)
    [source] = blocks_of("from/fastapi.md", "python")
    refiner, names = make_refiner(backend="pytorch"), {"__name__": "service"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bpr_cli, "Refiner", lambda: refiner, raising=False)
        exec(compile(source, "service.py", "exec", dont_inherit=True), names)
    server = uvicorn.Server(uvicorn.Config(names["app"], port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", refiner
    server.should_exit = True
    thread.join()
    with pytest.raises(bpr_cli.BprError, match="closed"):
        refiner.refine(*CASES[0])


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "png")
    return out.getvalue()


def test_five_hundred_requests_by_eight_threads_have_the_results_of_one_after_the_other(service):
    httpx = pytest.importorskip("httpx")
    address, refiner = service
    files = [{"image": png(image), "mask": png(mask)} for image, mask in CASES]
    expected = [refiner.refine(*case) for case in CASES]
    assert any((after != mask).any() for after, (_, mask) in zip(expected, CASES, strict=True))
    with httpx.Client(base_url=address, timeout=120, trust_env=False) as client, ThreadPoolExecutor(THREADS) as threads:
        numbers = [number % len(CASES) for number in range(REQUESTS)]
        answers = threads.map(lambda number: client.post("/refine", files=files[number]), numbers)
        for number, answer in zip(numbers, answers, strict=True):
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "image/png"
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected[number])


@pytest.mark.parametrize(
    ("mask", "message"),
    [(png(blob((20, 20))), "the image is 30 x 24 pixels but mask 20 x 20"), (b"no picture", "cannot identify image")],
)
def test_what_cannot_be_refined_is_told(service, mask, message):
    httpx = pytest.importorskip("httpx")
    address, _ = service
    files = {"image": png(CASES[0][0]), "mask": mask}
    answer = httpx.post(f"{address}/refine", files=files, timeout=60, trust_env=False)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
