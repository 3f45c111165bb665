"""Commands whose inputs and outputs are in a bucket, of a real S3 server on this machine."""

import json
import random
import shutil
import signal
import threading
import time
from itertools import count

import pytest

from tests.cli.evaluations import make
from tests.cli.resumable import MAKERS, NAMES, discs
from tests.cli.worlds import SIZE, record, results
from tests.docs.pages import DOCS, commands_of
from tests.formats.format_builders import save


class Flaky:
    """An application that answers every seventh request with 503, while it is asked to."""

    def __init__(self, application):
        self.application, self.is_flaky, self.requests = application, False, count(1)

    def __call__(self, environment, start_response):
        if self.is_flaky and next(self.requests) % 7 == 0:
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        return self.application(environment, start_response)


@pytest.fixture(scope="module")
def server():
    """A server, and the environment by which programs find it."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    from werkzeug.serving import make_server

    flaky = Flaky(moto.DomainDispatcherApplication(moto.create_backend_app))
    made = make_server("127.0.0.1", 0, flaky, threaded=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    flaky.environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{made.port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    yield flaky
    made.shutdown()
    thread.join()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """A new bucket, as a file system of ``fsspec`` and the name of the bucket."""
    import s3fs

    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    name = tmp_path.name.replace("_", "-").lower()[:60].strip("-")
    files.mkdir(name)
    server.is_flaky = False
    return files, name


@pytest.fixture
def upload(bucket, world):
    """Put the photographs and predictions of the world into the bucket; returns the URL of it."""
    files, name = bucket

    def run():
        for path in (*world.rglob("*.png"), *world.rglob("*.json"), *world.rglob("*.txt")):
            if not {"out", "whole"} & set(path.parts):
                files.put_file(str(path), f"{name}/{path.relative_to(world).as_posix()}")
        return f"s3://{name}"

    return run


def download(bucket, world, folder="out"):
    files, name = bucket
    files.get(f"{name}/{folder}/", str(world / folder), recursive=True)
    return results(world / folder)


@pytest.mark.parametrize("maker", ["labels", "coco", "panoptic"])
def test_a_bucket_in_and_a_bucket_out(maker, bucket, upload, server, photos, world, refine):
    given, _, _ = MAKERS[maker](world)
    assert refine(given, "--images", "photos", "--out", "whole").code == 0
    url = upload()
    server.is_flaky = True
    outcome = refine(f"{url}/{given}", "--images", f"{url}/photos", "--out", f"{url}/out", "--json")
    assert (outcome.code, outcome.errors) == (0, [])
    report = json.loads(outcome.out)
    assert (report["images"], report["output"]) == (len(NAMES), f"{url}/out")
    assert report["inputs"]["predictions"] == f"{url}/{given}"
    assert "bpr-mirrors" not in outcome.out + outcome.err
    assert download(bucket, world) == results(world / "whole")
    assert (world / "out/.bpr/journal.jsonl").read_bytes().count(b"\n") == len(NAMES) + 1
    assert not list((world / "out/.bpr").glob(".lease*"))
    again = refine(f"{url}/{given}", "--images", f"{url}/photos", "--out", f"{url}/out", "--json")
    assert json.loads(again.out)["resumed"] == len(NAMES)


def test_shards_of_a_bucket_are_merged(bucket, upload, photos, world, refine, bpr):
    MAKERS["coco"](world)
    url = upload()
    assert refine("preds.json", "--images", "photos", "--out", "whole").code == 0
    given = (f"{url}/preds.json", "--images", f"{url}/photos", "--out", f"{url}/out")
    first = refine(*given, "--shard", "1/2")
    assert first.code == 0
    assert f"complete the output: bpr merge {url}/out\n" in first.err
    assert "s3:/" not in first.err.replace("s3://", "")
    early = bpr("merge", f"{url}/out")
    assert early.errors[0].startswith(f"{url}/out: 6 of 12 images are missing from 1 of 2 shards; not begun: 2/2")
    assert refine(*given, "--shard", "2/2", "--processes", "2").code == 0
    assert bpr("merge", f"{url}/out").code == 0
    assert download(bucket, world) == results(world / "whole")


def test_pictures_and_names_of_images_in_a_bucket(bucket, upload, photos, world, refine):
    MAKERS["coco"](world)
    save(world / "info.json", {"images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(NAMES)]})
    url, (files, name) = upload(), bucket
    given = (
        f"{url}/preds.json",
        "--images",
        f"{url}/photos",
        "--image-info",
        f"{url}/info.json",
        "--out",
        f"{url}/out",
    )
    outcome = refine(*given, "--pictures", "2", "--json")
    assert (outcome.code, outcome.errors) == (0, [])
    report = json.loads(outcome.out)
    assert report["notes"] == []
    assert report["inputs"]["image_info"] == f"{url}/info.json"
    assert sorted(report["pictures"]) == [f"s3://{each}" for each in sorted(files.find(f"{name}/out/pictures"))]
    assert len(report["pictures"]) == 2
    assert f"pictures: {url}/out/pictures\n" in outcome.err
    assert "bpr-mirrors" not in outcome.out + outcome.err


def check_kills(bucket, url, world, refine, start, environment, weights, kills) -> None:
    """Kill drivers at random moments, and finish on a machine that has nothing but the bucket."""
    draw = random.Random(kills)
    files, name = bucket
    given = (f"{url}/preds", "--images", f"{url}/photos", "--out", f"{url}/out", "--weights", weights)
    for _ in range(kills):
        with start("refine", *given, **environment) as process:
            while process.poll() is None and not files.exists(f"{name}/out/{NAMES[0]}.png"):
                time.sleep(0.05)
            time.sleep(draw.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert refine(*given).code == 0
    assert download(bucket, world) == results(world / "whole")


def test_a_driver_that_is_killed(bucket, upload, server, photos, world, refine, start, random_weights, monkeypatch):
    monkeypatch.setattr("bpr_cli.system.lease.LEFT_AFTER", 7.0)
    MAKERS["labels"](world)
    assert refine("preds", "--images", "photos", "--out", "whole").code == 0
    check_kills(bucket, upload(), world, refine, start, server.environment, random_weights, 1)


def test_two_drivers_on_one_output(bucket, upload, photos, world, refine):
    from bpr_cli.system.lease import leased
    from bpr_cli.system.paths import as_path

    MAKERS["labels"](world)
    url = upload()
    given = (f"{url}/preds", "--images", f"{url}/photos", "--out", f"{url}/out")
    with leased(as_path(f"{url}/out/.bpr", "out"), "in use"):
        refused = refine(*given)
    assert refused.errors == [f"{url}/out is in use by another process; wait for it, stop it, or choose another --out"]
    assert refine(*given).code == 0


def test_an_evaluation(bucket, upload, world, bpr):
    paths = make("coco", world)
    url = upload()
    local = bpr("evaluate", paths["after"], "--ground-truth", paths["truth"], "--json")
    given = (f"{url}/{paths['after']}", "--ground-truth", f"{url}/{paths['truth']}", "--processes", "2")
    remote = bpr("evaluate", *given, "--out", f"{url}/report", "--json")
    assert remote.code == local.code == 0, remote.err
    assert f"written: {url}/report/report.html, " in remote.err
    assert json.loads(remote.out)["summary"] == json.loads(local.out)["summary"]
    files, name = bucket
    assert json.loads(files.cat(f"{name}/report/report.json"))["inputs"][0]["path"] == f"{url}/{paths['after']}"


def test_what_is_not_there_is_told(bucket, upload, photos, world, refine):
    MAKERS["labels"](world)
    url = upload()
    missing = refine(f"{url}/nothing", "--images", f"{url}/photos", "--out", f"{url}/out")
    assert missing.errors == [
        f"{url}/nothing does not exist, expected a file or directory of predictions; check the path"
    ]
    broken = f"{url.removeprefix('s3://')}/photos/03.png"
    bucket[0].pipe(broken, b"not an image")
    outcome = refine(f"{url}/preds", "--images", f"{url}/photos", "--out", f"{url}/out")
    assert (outcome.code, outcome.errors) == (1, [f"{url}/photos/03.png is not a PNG, JPEG, TIFF, WebP or BMP image"])


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
def test_the_commands_of_the_guide(bucket, upload, photos, world, refine, bpr):
    MAKERS["coco"](world)
    images = [
        {"id": i, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]} for i, name in enumerate(NAMES)
    ]
    true = [record(i, discs(i)[0], id=i, iscrowd=0, area=int(discs(i)[0].sum())) for i in range(len(NAMES))]
    save(world / "truth.json", {"images": images, "annotations": true, "categories": [{"id": 1, "name": "disc"}]})
    url, (files, name) = upload(), bucket
    commands = [[word.replace("s3://bucket", url) for word in command] for command in commands_of("how-to/buckets.md")]
    assert [command[0] for command in commands] == ["refine", "evaluate", "refine", "refine", "merge"]
    for number, (command, *rest) in enumerate(commands):
        outcome = refine(*rest) if command == "refine" else bpr(command, *rest)
        assert (outcome.code, outcome.errors) == (0, []), (command, *rest)
        if number == 1:
            assert files.exists(f"{name}/report/report.json")
            assert f"written: {url}/report/report.html" in outcome.err
            assert "s3:/" not in outcome.err.replace("s3://", "")
            whole = download(bucket, world, "refined")
            shutil.rmtree(world / "refined")
            files.rm(f"{name}/refined", recursive=True)
    assert download(bucket, world, "refined") == whole
    assert set(whole) == {"preds.json"}
