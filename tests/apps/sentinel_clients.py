"""redis-py's client for sentinels: it finds the primary and the replicas before and after a failover.

Starts a fleet of the server that OXIDIS_SERVER names: a primary with a replica, and three sentinels.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

SERVER = os.environ["OXIDIS_SERVER"]
PATIENCE = 60


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what, holds):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            found = holds()
            if found:
                return found
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < end, "never: " + what
        time.sleep(0.05)


def main(folder, processes):
    primary, replica, *sentinels = free_ports(5)

    def start(port, lines, *more):
        file = os.path.join(folder, str(port))
        with open(file, "w") as text:
            text.write(f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile {file}.log\n{lines}")
        processes[port] = subprocess.Popen([SERVER, file, *more])
        wait_for("an answer", redis.Redis(port=port).ping)

    start(primary, 'save ""\nrepl-diskless-sync-delay 0\n')
    start(replica, f'save ""\nreplicaof 127.0.0.1 {primary}\n')
    for port in sentinels:
        start(
            port,
            f"sentinel monitor mymaster 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds mymaster 1000\n",
            "--sentinel",
        )
    fleet = Sentinel([("127.0.0.1", port) for port in sentinels], socket_timeout=1)
    first = fleet.sentinels[0]
    wait_for("they know the replica", lambda: fleet.discover_slaves("mymaster") == [("127.0.0.1", replica)])
    for one in fleet.sentinels:
        wait_for(
            "each knows all",
            lambda: len(one.sentinel_sentinels("mymaster")) == 2
            and [r["flags"] for r in one.sentinel_slaves("mymaster")] == ["slave"],
        )
    assert fleet.discover_master("mymaster") == ("127.0.0.1", primary)
    assert first.sentinel_masters()["mymaster"]["is_master"]
    try:
        fleet.discover_master("nobody")
        raise AssertionError("a primary of nobody")
    except MasterNotFoundError:
        pass
    client = fleet.master_for("mymaster", socket_timeout=1)
    client.set("key", "1")
    wait_for("the replica has it", lambda: fleet.slave_for("mymaster").get("key") == b"1")

    processes[primary].kill()
    wait_for("the new primary takes writes", lambda: client.set("key", "2"))
    assert fleet.discover_master("mymaster") == ("127.0.0.1", replica)


if __name__ == "__main__":
    folder, processes = tempfile.mkdtemp(), {}
    try:
        main(folder, processes)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(folder)
