"""Actors that are lost, that fail, that never come: what becomes of the calls."""

import os
from functools import partial

import pytest

from synthtools.errors import RecordError, SynthError, UsageError
from synthtools.scale import ray_cluster as clusters
from synthtools.scale.actor_pool import open_on_actors as held_by


def opened(value, tell):
    tell("opened")
    if value is None:
        raise SynthError("model: has no weights")
    return value


def add(held, number):
    return held + number


def end_once(held, number, mark):
    """Ends its process the first time."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return held + number
    os._exit(1)


def end(held):
    os._exit(1)


def refuse(held, number):
    raise RecordError("a.jsonl", number, "not this one", b"raw")


@pytest.fixture(scope="module")
def cluster(nodes):
    return clusters.connect(nodes.address)


def pool(cluster, held=100, count=1, **more):
    told = more.pop("told", [])
    where = more.pop("where", {"num_cpus": 0.5})
    return held_by(
        cluster, count, [where] * count, partial(opened, held), lambda h: [h], told.append, **more
    )


def test_calls_come_back_in_order_though_an_actor_is_lost(cluster, tmp_path):
    told = []
    with pool(cluster, told=told) as actors:
        assert actors.description == [100] and told == ["opened"]
        mark = str(tmp_path / "mark")
        numbers = [actors.submit(add, 1), actors.submit(end_once, 2, mark), actors.submit(add, 3)]
        assert [future.result(60) for future in numbers] == [101, 102, 103]
        assert list(actors.in_order(add, range(9))) == list(range(100, 109))
        with pytest.raises(RecordError, match="a.jsonl:7: not this one") as raised:
            actors.submit(refuse, 7).result(60)
        assert raised.value.raw == b"raw" and "in refuse" in raised.value.__notes__[0]
        # Nor does the actor hold anything against us.
        assert actors.submit(add, 4).result(60) == 104
        waiting = actors.submit(end_once, 1, str(tmp_path / "other"))
    with pytest.raises(SynthError, match="broken off"):
        waiting.result(60)
    assert told == ["opened"]


def test_a_call_that_ends_every_actor_is_given_up(cluster):
    with pool(cluster) as actors:
        with pytest.raises(SynthError, match=r"--ray: work was lost .* see the logs of Ray"):
            actors.submit(end).result(120)
        assert actors.submit(add, 1).result(60) == 101


def test_what_cannot_be_opened_is_told(cluster):
    with pytest.raises(SynthError) as raised:
        pool(cluster, None)
    assert str(raised.value) == "model: has no weights"


def test_a_place_holds_several_things(cluster):
    """The one CPU is not asked for twice; what cannot be opened is no loss for what is open."""
    where = {"num_cpus": 1}
    with pool(cluster, 100, where=where) as first, pool(cluster, 200, where=where) as second:
        called = [which.submit(add, n) for n in range(4) for which in (first, second)]
        assert [one.result(60) for one in called] == [100, 200, 101, 201, 102, 202, 103, 203]
        with pytest.raises(SynthError, match="model: has no weights"):
            pool(cluster, None, where=where)
        second.close()
        assert first.submit(add, 7).result(60) == 107


def test_no_room_is_told(cluster):
    with pytest.raises(SynthError, match="no node has room for the model, which asks for 3 CPU"):
        pool(cluster, where={"num_cpus": 3}, patience=1)


def test_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(clusters, "__version__", "0.0.1")
    with pytest.raises(SynthError, match=r"^--ray: a worker has synthtools .*, this machine 0.0.1"):
        list(cluster.in_order([1], str))


def test_tasks_give_their_results_in_order(cluster):
    assert list(cluster.in_order(range(20), lambda n: n * n)) == [n * n for n in range(20)]
    found = cluster.streams_in_order(range(5), lambda n: iter(range(n)), 2)
    assert [(n, list(results)) for n, results in found] == [(n, list(range(n))) for n in range(5)]


def test_a_task_whose_worker_ends_is_begun_again(cluster, tmp_path):
    def work(number):
        for turn in range(3):
            if (number, turn) == (1, 2):
                end_once(0, 0, str(tmp_path / "mark"))
            yield number, turn

    found = cluster.streams_in_order(range(3), work, 4)
    assert [(n, list(r)) for n, r in found] == [(n, [(n, t) for t in range(3)]) for n in range(3)]


def test_errors_of_tasks_arrive_as_they_are(cluster):
    def work(number):
        if number == 2:
            raise ValueError("two")
        return number

    found = []
    with pytest.raises(ValueError) as raised:
        for value in cluster.in_order(range(9), work):
            found.append(value)
    assert found == [0, 1] and str(raised.value) == "two"


def test_no_cluster_is_told():
    with pytest.raises(SynthError, match=r"^--ray 127.0.0.1:1: no Ray cluster answers.* refused"):
        clusters.RayCluster("127.0.0.1:1", None)
    for wrong in ("nonsense", "ray://127.0.0.1:1", "a:b"):
        with pytest.raises(UsageError, match="use HOST:PORT, auto or local"):
            clusters.RayCluster(wrong, None)


def test_results_that_were_on_a_lost_node_are_made_again(nodes, cluster):
    nodes.second()
    # Large enough to lie in the store of the node that made them.
    found = clusters.RayCluster.streams_in_order(
        two_nodes(cluster), range(6), lambda n: (bytes([n, turn]) * 200_000 for turn in range(4)), 9
    )
    seen = []
    for number, results in found:
        for turn, result in enumerate(results):
            seen.append((number, turn, result == bytes([number, turn]) * 200_000))
            if len(seen) == 2:
                nodes.kill()
    assert seen == [(n, turn, True) for n in range(6) for turn in range(4)]


def two_nodes(cluster):
    """The connection, which counted the CPUs before the second node came."""
    cluster.cpus = 2
    return cluster


def test_what_is_no_longer_wanted_is_not_done(cluster, tmp_path):
    def work(number):
        for turn in range(1000):
            (tmp_path / f"{number}-{turn}").touch()
            yield turn

    found = cluster.streams_in_order(range(50), work, 3)
    _, results = next(found)
    assert [next(results), next(results)] == [0, 1]
    found.close()
    # The cluster is free for others, and of the tasks that waited none has begun.
    assert list(cluster.in_order([1], str)) == ["1"]
    assert len(list(tmp_path.iterdir())) < 60
