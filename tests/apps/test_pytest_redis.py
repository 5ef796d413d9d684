"""pytest-redis starts the server by itself, in the place of redis-server, and reads its version first."""
import os

from pytest_redis import factories

redis_proc = factories.redis_proc(executable=os.environ["OXIDIS_SERVER"])
redisdb = factories.redisdb("redis_proc")


def test_a_server_of_its_own(redisdb):
    redisdb.set("k", "v")
    assert redisdb.get("k") == b"v"
    pipe = redisdb.pipeline()
    pipe.incr("n").expire("n", 100).ttl("n")
    assert pipe.execute() == [1, True, 100]


def test_what_another_test_left_is_gone(redisdb):
    assert redisdb.keys() == []


def test_the_version_is_read(redis_proc):
    assert redis_proc.version >= redis_proc.MIN_SUPPORTED_VERSION
    assert redis_proc.running()
