"""What BioXen promises any client beyond single commands: requests once, operators, lists, waiting VMs.

any_client_rules.py URL SCENARIO
"""

import asyncio
import sys
import uuid

from wire import (
    Json,
    MessagePack,
    ask,
    check_chain,
    connect,
    has,
    refused,
    request,
    streamed,
    until,
)


async def told(nc, **wanted):
    """Events with these fields, as far as the stream is."""
    return await streamed(nc, "BIOXEN_EVENTS", **wanted)


async def audit_so_far(nc):
    """Every audit record of what was done before this question."""
    marker = f"marker-{uuid.uuid4()}"
    await ask(nc, f"bioxen.v1.ops.auditor.quota.{marker}", {"max_vms": 1})

    async def marked():
        records = await streamed(nc, "BIOXEN_AUDIT")
        return records if any(record["user"] == marker for record in records) else None

    return await until(marked, "the marker is audited")


async def idempotency(nc):
    """A request id takes effect once."""
    cmd = "bioxen.v1.cmd.alice"
    body = {"biological_type": "ecoli", "request_id": "r1", "labels": {"of": "r1"}}
    first = await ask(nc, f"{cmd}.create", body)
    # The same body, whatever its encoding, its order, or where the id stands.
    for codec in [Json, MessagePack]:
        assert await ask(nc, f"{cmd}.create", body, codec) == first
    turned = dict(reversed(body.items()))
    assert await ask(nc, f"{cmd}.create", turned) == first
    bare = {name: value for name, value in body.items() if name != "request_id"}
    alias = {"Nats-Msg-Id": "r1"}
    assert await ask(nc, f"{cmd}.create", bare, headers=alias) == first
    assert await ask(nc, f"{cmd}.create", body, headers=alias) == first
    # Another body, verb or VM.
    other = {**body, "biological_type": "syn3a"}
    error = await refused(nc, f"{cmd}.create", other, "BX015")
    assert "r1" in error["message"], error
    await refused(nc, f"{cmd}.create.other", body, "BX015")
    await refused(nc, f"{cmd}.start.{first['vm_id']}", {"request_id": "r1"}, "BX015")
    error = await refused(nc, f"{cmd}.create", body, "BX008", headers={"Nats-Msg-Id": "r2"})
    assert error["details"]["field"] == "request_id", error
    # Somebody else's request of that name is another.
    theirs = await ask(nc, "bioxen.v1.cmd.bob.create", body)
    assert theirs["vm_id"] != first["vm_id"], theirs
    assert len((await ask(nc, f"{cmd}.list"))["vms"]) == 1
    fleet = await ask(nc, f"{cmd}.fleet")
    assert fleet["active_vms"] == 2, fleet

    # Verbs that wait: not executed again, and answered with the state then reached.
    await ask(nc, f"{cmd}.create.w", {"biological_type": "syn3a"})
    start = {"request_id": "s1", "wait_ms": 30_000}
    assert (await ask(nc, f"{cmd}.start.w", start))["state"] == "running"
    generation = (await ask(nc, f"{cmd}.status.w"))["generation"]
    assert (await ask(nc, f"{cmd}.start.w", start))["state"] == "running"
    stop = {"request_id": "s2", "wait_ms": 0}
    hurried = await ask(nc, f"{cmd}.stop.w", stop)
    assert hurried["state"] in ("stopping", "stopped"), hurried

    async def stopped():
        return (await ask(nc, f"{cmd}.stop.w", stop))["state"] == "stopped"

    await until(stopped, "the repeated stop says stopped")
    assert (await ask(nc, f"{cmd}.start.w", start))["state"] == "stopped"
    assert (await ask(nc, f"{cmd}.status.w"))["state"] == "stopped"
    again = await ask(nc, f"{cmd}.start.w", {**start, "request_id": "s3"})
    assert again["state"] == "running"
    assert (await ask(nc, f"{cmd}.status.w"))["generation"] != generation
    allocate = {"request_id": "a1", "ribosomes": 12}
    allocated = await ask(nc, f"{cmd}.allocate.w", allocate)
    await ask(nc, f"{cmd}.allocate.w", {"ribosomes": 9})
    assert await ask(nc, f"{cmd}.allocate.w", allocate) == allocated
    assert (await ask(nc, f"{cmd}.status.w"))["ribosome_allocation"] == 9
    await refused(nc, f"{cmd}.allocate.w", {**allocate, "ribosomes": 13}, "BX015")

    # A refused id may be retried; the durable door knows the same ids.
    late = {"request_id": "l1"}
    await refused(nc, f"{cmd}.pause.late", late, "BX010")
    await ask(nc, f"{cmd}.create.late", {"biological_type": "syn3a", "auto_start": True})
    assert (await ask(nc, f"{cmd}.pause.late", {**late, "wait_ms": 30_000}))["state"] == "paused"
    repeat = {"verb": "create", **body}
    await nc.jetstream().publish("bioxen.v1.submit.alice", Json.encode(repeat))
    await ask(nc, f"{cmd}.destroy.late", {"request_id": "l2", "wait_ms": 30_000})
    records = await audit_so_far(nc)
    taken = [r["request_id"] for r in records if r["outcome"] == "accepted" and r["request_id"]]
    assert sorted(taken) == ["a1", "l1", "l2", "r1", "r1", "s1", "s2", "s3"], taken
    created = [e["vm_id"] for e in await told(nc, event="created", request_id="r1")]
    assert sorted(created) == sorted([first["vm_id"], theirs["vm_id"]]), created
    print(f"{len(taken)} request ids took effect once; {check_chain(records)} audit records")


async def operators(nc):
    """An operator acts on a user's VM under both names, and sets limits."""
    cmd, ops = "bioxen.v1.cmd.alice", "bioxen.v1.ops.root"
    await ask(nc, f"{cmd}.create.c1", {"biological_type": "syn3a", "auto_start": True})
    for codec in [Json, MessagePack]:
        answer = await ask(nc, f"{ops}.status.alice.c1", {}, codec)
        assert has({"vm_id": "c1"}, answer), answer
    stop = {"request_id": "o1", "wait_ms": 30_000}
    assert (await ask(nc, f"{ops}.stop.alice.c1", stop))["state"] == "stopped"
    # Nobody else's VM is anybody's business, and an operator's name is no user's.
    for verb in ["status", "metrics", "resources", "start", "destroy"]:
        await refused(nc, f"bioxen.v1.cmd.bob.{verb}.c1", {}, "BX010")
        await refused(nc, f"bioxen.v1.cmd.root.{verb}.c1", {}, "BX010")
    assert (await ask(nc, "bioxen.v1.cmd.bob.list"))["vms"] == []
    refusal = await refused(nc, f"{ops}.pause.alice.c1", {}, "BX006")
    assert refusal["details"]["state"] == "stopped", refusal

    quota = await ask(nc, f"{ops}.quota.alice")
    assert has({"user": "alice", "max_vms": 10, "max_ribosomes": None}, quota), quota
    assert await ask(nc, f"{cmd}.quota") == quota
    lowered = await ask(nc, f"{ops}.quota.alice", {"max_vms": 1, "max_ribosomes": 12}, MessagePack)
    assert has({"max_vms": 1, "max_ribosomes": 12}, lowered), lowered
    assert await ask(nc, f"{cmd}.quota") == lowered
    error = await refused(nc, f"{cmd}.create.c2", {"biological_type": "syn3a"}, "BX011")
    figures = {"resource": "vms", "limit": 1, "used": 1, "requested": 1}
    assert has(figures, error["details"]) and error["details"]["retry_after_ms"] > 0, error
    error = await refused(nc, f"{cmd}.allocate.c1", {"ribosomes": 13}, "BX006")
    await ask(nc, f"{ops}.start.alice.c1", {"wait_ms": 30_000})
    error = await refused(nc, f"{cmd}.allocate.c1", {"ribosomes": 13}, "BX011")
    assert has({"resource": "ribosomes", "limit": 12, "used": 10, "requested": 3}, error["details"]), error
    await ask(nc, f"{cmd}.allocate.c1", {"ribosomes": 12})
    raised = await ask(nc, f"{ops}.quota.alice", {"max_vms": 2, "max_ribosomes": 100})
    assert raised["max_vms"] == 2 and raised["used"]["ribosomes"] == 12, raised
    await ask(nc, f"{cmd}.create.c2", {"biological_type": "syn3a"})

    # A rate is a limit like the others.
    await ask(nc, f"{ops}.quota.carol", {"max_commands_per_second": 1})

    async def too_fast():
        answer, _ = await request(nc, "bioxen.v1.cmd.carol.pause.none", {})
        return answer["error"] if answer["error"]["code"] == "BX011" else None

    error = await until(too_fast, "two commands within a second")
    assert has({"resource": "commands_per_second", "limit": 1, "requested": 1}, error["details"]), error

    users = {each["user"]: each for each in (await ask(nc, f"{ops}.users"))["users"]}
    assert users["alice"]["max_vms"] == 2 and users["alice"]["used"]["slots"] == 2, users
    assert [each["worker"] for each in (await ask(nc, f"{ops}.workers"))["workers"]] == ["w1"]
    assert (await ask(nc, f"{ops}.config"))["max_vms_per_user"] == 10
    records = await audit_so_far(nc)
    acted = [(r["user"], r["action"], r["vm_id"], r["outcome"]) for r in records if r["operator"] == "root"]
    assert acted == [
        ("alice", "stop", "c1", "accepted"),
        ("alice", "pause", "c1", "rejected"),
        ("alice", "quota", None, "accepted"),
        ("alice", "start", "c1", "accepted"),
        ("alice", "quota", None, "accepted"),
        ("carol", "quota", None, "accepted"),
    ], acted
    # Those concerned read it themselves.
    own = (await ask(nc, f"{cmd}.audit"))["audit"]
    assert own == [record for record in records if record["user"] == "alice"][: len(own)], own
    assert sum(record["operator"] == "root" for record in own) == 5
    print(f"{len(acted)} acts of an operator audited under both names; {check_chain(records)} records")


async def pages(nc, subject, field, body, following):
    """All pages of a read, and how many there were."""
    everything, count = [], 0
    while body is not None:
        answer = await ask(nc, subject, body)
        everything += answer[field]
        count += 1
        body = following(answer, body)
    return everything, count


async def lists(nc):
    """`list` by page, label, prefix and state; `events` and `audit` by index."""
    cmd = "bioxen.v1.cmd.alice"
    for number in range(7):
        labels = {"half": "first" if number < 3 else "second"} | ({"odd": ""} if number % 2 else {})
        vm = f"{'ab'[number % 2]}-{number}"
        await ask(nc, f"{cmd}.create.{vm}", {"biological_type": "syn3a", "labels": labels})
    names = ["a-0", "a-2", "a-4", "a-6", "b-1", "b-3", "b-5"]

    def next_page(answer, body):
        return None if answer["cursor"] is None else {**body, "cursor": answer["cursor"]}

    for limit, expected in [(1, 7), (2, 4), (3, 3), (7, 1), (1000, 1)]:
        vms, count = await pages(nc, f"{cmd}.list", "vms", {"limit": limit}, next_page)
        assert [vm["vm_id"] for vm in vms] == names and count == expected, (limit, count, vms)
    await ask(nc, f"{cmd}.start.b-3", {"wait_ms": 30_000})
    await ask(nc, f"{cmd}.destroy.a-6", {"wait_ms": 30_000})
    for body, expected in [
        ({"prefix": "b-"}, ["b-1", "b-3", "b-5"]),
        ({"prefix": "a-0"}, ["a-0"]),
        ({"prefix": "none"}, []),
        ({"label": "half=first"}, ["a-0", "a-2", "b-1"]),
        ({"label": "half=third"}, []),
        ({"label": "odd"}, ["b-1", "b-3", "b-5"]),
        ({"label": "half=second", "prefix": "b", "limit": 1}, ["b-3"]),
        ({"state": "running"}, ["b-3"]),
        ({"state": "created"}, ["a-0", "a-2", "a-4", "b-1", "b-5"]),
        ({"state": "destroyed"}, ["a-6"]),
        ({"cursor": "b-1"}, ["b-3", "b-5"]),
    ]:
        answer = await ask(nc, f"{cmd}.list", body, MessagePack)
        assert [vm["vm_id"] for vm in answer["vms"]] == expected, (body, answer)
    running = (await ask(nc, f"{cmd}.list", {"state": "running"}))["vms"][0]
    assert has({"biological_type": "syn3a", "worker": "w1", "queue_position": None}, running), running

    await audit_so_far(nc)

    async def all_told():
        return [event for event in await told(nc, user="alice") if event["event"] == "destroyed"]

    await until(all_told, "all events are published")
    for verb, stream in [("events", "BIOXEN_EVENTS"), ("audit", "BIOXEN_AUDIT")]:
        kept = await streamed(nc, stream, user="alice")

        def after(answer, body, verb=verb):
            return {**body, "since": answer[verb][-1]["index"]} if answer[verb] else None

        counts = []
        for limit in [1, 4, 1000]:
            read, count = await pages(nc, f"{cmd}.{verb}", verb, {"limit": limit}, after)
            assert read == kept, (verb, limit, len(read), len(kept))
            counts.append(count)
        print(f"{verb}: {len(kept)} read in {counts} pages")
    assert (await ask(nc, "bioxen.v1.cmd.bob.events"))["events"] == []
    assert (await ask(nc, "bioxen.v1.cmd.bob.audit"))["audit"] == []


async def waiting(nc):
    """on_full queue: a place that is told, and a start as room appears, by priority and then age."""
    cmd = "bioxen.v1.cmd.alice"
    await ask(nc, "bioxen.v1.ops.root.quota.alice", {"max_vms": 1})
    body = {"biological_type": "syn3a", "on_full": "queue"}
    first = await ask(nc, f"{cmd}.create.now", {**body, "wait_ms": 30_000})
    assert has({"state": "starting", "queue_position": None}, first), first
    for vm, priority, position in [("q3", 3, 1), ("q4", 4, 2), ("q1", 1, 1), ("q3b", 3, 3)]:
        answer = await ask(nc, f"{cmd}.create.{vm}", {**body, "priority": priority})
        assert has({"state": "queued", "queue_position": position}, answer), answer
    order = ["q1", "q3", "q3b", "q4"]
    for place, vm in enumerate(order, start=1):
        status = await ask(nc, f"{cmd}.status.{vm}")
        assert has({"state": "queued", "queue_position": place, "worker": None}, status), status
    quota = await ask(nc, f"{cmd}.quota")
    assert quota["queued"] == 4 and quota["used"]["slots"] == 1, quota
    assert (await ask(nc, f"{cmd}.fleet"))["queued"] == 4
    running = "now"
    while order:
        await ask(nc, f"{cmd}.destroy.{running}", {"wait_ms": 30_000})
        running = order.pop(0)

        async def runs(vm=running):
            return (await ask(nc, f"{cmd}.status.{vm}"))["state"] == "running"

        await until(runs, f"{running} runs")
        for place, vm in enumerate(order, start=1):
            assert (await ask(nc, f"{cmd}.status.{vm}"))["queue_position"] == place

    async def started():
        found = [event["vm_id"] for event in await told(nc, event="running")]
        return found if len(found) == 5 else None

    assert await until(started, "five VMs ran") == ["now", "q1", "q3", "q3b", "q4"]
    queued = [event["vm_id"] for event in await told(nc, event="queued")]
    assert queued == ["q3", "q4", "q1", "q3b"], queued
    print("4 VMs waited, and started by priority and then age")


async def main():
    url, scenario = sys.argv[1:]
    nc = await connect(url)
    scenarios = {"idempotency": idempotency, "operators": operators, "lists": lists, "waiting": waiting}
    await scenarios[scenario](nc)
    await nc.close()


asyncio.run(main())
