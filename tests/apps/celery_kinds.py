"""Celery's groups, chords, chains, ETA, retries and revocation, with the server as broker and as result store.

Called with a port it starts a worker of its own and gives it work; the worker imports this file by name.
"""
import datetime
import os
import subprocess
import sys
import time

from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError

PORT = os.environ.get("OXIDIS_PORT", "0")
app = Celery(
    "celery_kinds",
    broker=f"redis://127.0.0.1:{PORT}/0",
    backend=f"redis://127.0.0.1:{PORT}/1",
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    task_track_started=True,
    worker_hijack_root_logger=False,
)


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail():
    raise ValueError("on purpose")


@app.task
def now():
    return time.time()


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry()
    return self.request.retries


PATIENCE = 60


def check():
    assert add.delay(1, 2).get(timeout=PATIENCE) == 3
    assert group(add.s(i, i) for i in range(20))().get(timeout=PATIENCE) == [2 * i for i in range(20)]
    assert chord((add.s(i, i) for i in range(50)), total.s())().get(timeout=PATIENCE) == 2450
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=PATIENCE) == 10
    # A chord in a chain, and one whose header fails.
    nested = chain(chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(10))
    assert nested().get(timeout=PATIENCE) == 16
    broken = chord([add.s(1, 1), fail.s()], total.s())()
    try:
        broken.get(timeout=PATIENCE)
        raise AssertionError("a chord with a failed header succeeded")
    except Exception as error:  # ChordError, by way of the result store.
        assert "on purpose" in str(error), error
    assert third_time.delay().get(timeout=PATIENCE) == 2

    eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    assert now.apply_async(eta=eta).get(timeout=PATIENCE) >= eta.timestamp()

    revoked = add.apply_async((1, 1), countdown=5)
    revoked.revoke()
    try:
        revoked.get(timeout=PATIENCE)
        raise AssertionError("a revoked task ran")
    except TaskRevokedError:
        pass
    print("celery: groups, chords, chains, retries, ETA and revoked tasks")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-m", "celery", "-A", "celery_kinds", "worker"]
    command += ["--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(command, cwd=here, env={**os.environ, "PYTHONPATH": here, "PYTHONDONTWRITEBYTECODE": "1"})
    try:
        check()
    finally:
        worker.terminate()
        worker.wait(60)
