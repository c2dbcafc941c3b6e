"""Drives BioXen as any client may: with PyPI's nats-py and msgpack alone, and no line of BioXen's.

any_client.py URL SCENARIO [ADDRESS OF THE COORDINATOR'S METRICS]
"""

import asyncio
import json
import re
import sys
import urllib.request

from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from wire import (
    PATIENCE_SECONDS,
    Json,
    MessagePack,
    ask,
    audit_up_to,
    check_chain,
    check_each_once,
    connect,
    has,
    messages,
    refused,
    request,
    streamed,
    until,
)

# What a life of one VM is told as: (event, verb, state) in this order.
LIFE = [
    ("accepted", "create", "created"),
    ("created", "create", "created"),
    ("accepted", "start", "created"),
    ("starting", None, "starting"),
    ("running", None, "running"),
    ("accepted", "allocate", "running"),
    ("allocated", None, "running"),
    ("accepted", "stop", "stopping"),
    ("stopping", "stop", "stopping"),
    ("stopped", None, "stopped"),
    ("accepted", "destroy", "destroyed"),
    ("destroyed", "destroy", "destroyed"),
]
# The same as auditors read it: (action, outcome).
AUDITED = [
    ("create", "accepted"),
    ("start", "accepted"),
    ("placement", "accepted"),
    ("observed", "observed"),
    ("allocate", "accepted"),
    ("observed", "observed"),
    ("stop", "accepted"),
    ("observed", "observed"),
    ("destroy", "accepted"),
]
# What the steps of a life ask, and the event that ends each.
STEPS = [
    ("create", {"biological_type": "syn3a", "seed": 7}, "created"),
    ("start", {}, "running"),
    ("allocate", {"atp_percentage": 70, "ribosomes": 15}, "allocated"),
    ("stop", {}, "stopped"),
    ("destroy", {}, "destroyed"),
]
METRICS = [
    "vm_id", "biological_type", "simulated_minutes", "growth_rate_per_min", "doubling_time_min", "atp_level",
    "ribosomes_active", "ribosomes_total", "ribosome_mass_fraction", "protein_total", "mrna_total",
    "essential_genes", "genome_size_bp", "gene_count", "function_status",
]  # fmt: skip


async def live_events(nc, user):
    """What a subscriber is told of a user's VMs from now on, as (subject, event)."""
    told = []

    async def take(message):
        told.append((message.subject, json.loads(message.data)))

    await nc.subscribe(f"bioxen.v1.evt.{user}.>", cb=take)
    await nc.flush()
    return told


async def last_told(told, event, vm):
    async def there():
        return any(each["event"] == event and each["vm_id"] == vm for _, each in told)

    await until(there, f"the event {event} of {vm}")


async def check_life(nc, user, vm, told, request_ids=None):
    """Events, live and streamed, and audit: each step once, in order, and the chain joins."""
    live = [event for _, event in told if event["vm_id"] == vm]
    assert [(each["event"], each["verb"], each["state"]) for each in live] == LIFE, live
    # A subscriber may be told before the server has stored it.
    async def stored():
        kept = await streamed(nc, "BIOXEN_EVENTS", user=user, vm_id=vm)
        return kept if len(kept) >= len(live) else None

    kept = await until(stored, f"{len(live)} events of {vm} are kept")
    assert kept == live, "a live subscription is told what the stream keeps"
    assert all(subject == f"bioxen.v1.evt.{user}.{vm}.{event['event']}" for subject, event in told)
    check_each_once(kept, lambda event: (event["index"], event["event"]))
    assert [each["index"] for each in kept] == sorted(each["index"] for each in kept)
    started = next(each for each in kept if each["event"] == "running")
    assert started["generation"]["index"] <= started["index"], started
    if request_ids:
        accepted = [each["request_id"] for each in kept if each["event"] == "accepted"]
        assert accepted == request_ids, accepted
    records = await audit_up_to(nc, kept[-1]["index"])
    own = [(each["action"], each["outcome"]) for each in records if has({"user": user, "vm_id": vm}, each)]
    assert own[: len(AUDITED)] == AUDITED and len(own) == len(AUDITED), own
    ids = [message.headers["Nats-Msg-Id"] for message in await messages(nc, "BIOXEN_EVENTS")]
    assert len(set(ids)) == len(ids), "an event stands twice in its stream"
    print(f"{user}/{vm}: {len(kept)} events, {len(own)} of {check_chain(records)} chained audit records")


async def life(nc):
    """The seven commands by request and reply, in JSON and in MessagePack."""
    for user, codec in [("alice", Json), ("bob", MessagePack)]:
        told = await live_events(nc, user)

        async def cmd(verb, body=None, user=user, codec=codec):
            return await ask(nc, f"bioxen.v1.cmd.{user}.{verb}.c1", body, codec)

        created = await cmd("create", {"biological_type": "syn3a"})
        expected = {"vm_id": "c1", "status": "created", "state": "created", "biological_type": "syn3a"}
        assert has(expected, created) and created["vm_type"] == "basic", created
        predicted = created["predicted"]
        assert predicted is None or predicted["doubling_time_min"] > predicted["unlimited_doubling_time_min"]
        # Where nobody says how long to wait, a busy machine may not be there yet.
        wait = {"wait_ms": 30_000}
        assert await cmd("start", wait) == {"vm_id": "c1", "state": "running"}
        most = {"atp_percentage": 70.0, "ribosomes": 15, "memory_kb": 512 * 1024}
        allocated = await cmd("allocate", {"atp_percentage": 70, "ribosomes": 15.0})
        assert allocated == {"vm_id": "c1", "state": "running", "allocation": most}, allocated
        status = await cmd("status", {})
        shown = {"state": "running", "ribosome_allocation": 15, "atp_percentage": 70.0, "worker": "w1"}
        assert has(shown, status) and status["seed"] == created["seed"], status
        metrics = await cmd("metrics")
        assert all(name in metrics for name in METRICS), metrics
        assert has({"vm_id": "c1", "biological_type": "syn3a"}, metrics) and metrics["growth_rate_per_min"] > 0
        await last_told(told, "allocated", "c1")
        assert await cmd("stop", wait) == {"vm_id": "c1", "state": "stopped"}
        assert await cmd("destroy", wait) == {"vm_id": "c1", "state": "destroyed"}
        await last_told(told, "destroyed", "c1")
        await check_life(nc, user, "c1", told)


async def doors(nc):
    """The same life without a reply: through the durable stream, and by plain publishing."""
    js = nc.jetstream()
    for user, codec in [("alice", Json), ("bob", MessagePack)]:
        told = await live_events(nc, user)
        for number, (verb, body, event) in enumerate(STEPS):
            ask_id = f"{user}-{number}"
            submitted = {"verb": verb, "vm_id": "d1", "request_id": ask_id, **body}
            ack = await js.publish(f"bioxen.v1.submit.{user}", codec.encode(submitted))
            assert ack.stream == "BIOXEN_SUBMIT", ack
            await last_told(told, event, "d1")
        await check_life(nc, user, "d1", told, [f"{user}-{number}" for number in range(len(STEPS))])
        told.clear()
        for verb, body, event in STEPS:
            await nc.publish(f"bioxen.v1.cmd.{user}.{verb}.p1", codec.encode(body))
            await last_told(told, event, "p1")
        await check_life(nc, user, "p1", told, [None] * len(STEPS))
        told.clear()
        # What is refused is told likewise.
        await js.publish(f"bioxen.v1.submit.{user}", codec.encode({"verb": "start", "vm_id": "none"}))
        await last_told(told, "rejected", "none")
        assert [event["code"] for _, event in told] == ["BX010"], told


def fits(pattern, subject):
    """Whether a subject of NATS matches a pattern of `*`."""
    parts = zip(pattern.split("."), subject.split("."), strict=False)
    return pattern.count(".") == subject.count(".") and all(a in ("*", b) for a, b in parts)


async def services(nc):
    """$SRV.PING, INFO and STATS, as ADR-32 has them, read by nats-py's own types."""
    await ask(nc, "bioxen.v1.cmd.alice.create.c1", {"biological_type": "syn3a"})
    await ask(nc, "bioxen.v1.cmd.alice.list")
    await refused(nc, "bioxen.v1.cmd.alice.status.c2", {}, "BX010")
    whole = json.loads((await nc.request("$SRV.PING", b"", timeout=PATIENCE_SECONDS)).data)
    readers = {"PING": ServicePing, "INFO": ServiceInfo, "STATS": ServiceStats}
    found = {}
    for kind, reader in readers.items():
        for subject in [f"$SRV.{kind}", f"$SRV.{kind}.bioxen", f"$SRV.{kind}.bioxen.{whole['id']}"]:
            found[kind] = json.loads((await nc.request(subject, b"", timeout=PATIENCE_SECONDS)).data)
            assert found[kind]["type"] == f"io.nats.micro.v1.{kind.lower()}_response", found[kind]
            assert has({"name": "bioxen", "id": whole["id"], "metadata": {}}, found[kind]), found[kind]
            assert re.fullmatch(r"\d+\.\d+\.\d+", found[kind]["version"]), found[kind]
            assert reader.from_dict(found[kind]).name == "bioxen"
    assert found["INFO"]["description"]
    endpoints = {each["name"]: each for each in found["INFO"]["endpoints"]}
    counted = {each["name"]: each for each in found["STATS"]["endpoints"]}
    assert list(endpoints) == list(counted) and {"create", "list", "metrics"} <= set(endpoints), endpoints
    for name, each in endpoints.items():
        schema = json.loads(each["metadata"]["schema"])
        assert schema["type"] == "object" and "request_id" in schema["properties"], (name, schema)
        assert schema["additionalProperties"] is False, (name, schema)
        named = fits(each["subject"], f"bioxen.v1.cmd.alice.{name}.c1")
        bare = fits(each["subject"], f"bioxen.v1.cmd.alice.{name}")
        takes_vm = "vm_id" in schema["properties"]
        assert named == takes_vm and bare != takes_vm, (name, each["subject"], sorted(schema["properties"]))
        assert each["queue_group"] == counted[name]["queue_group"] == "coordinator"
        assert each["subject"] == counted[name]["subject"]
    create = json.loads(endpoints["create"]["metadata"]["schema"])
    assert create["required"] == ["biological_type"] and "schedule" in create["properties"], create
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", found["STATS"]["started"])
    assert has({"num_requests": 1, "num_errors": 0, "last_error": ""}, counted["create"]), counted["create"]
    assert has({"num_requests": 1, "num_errors": 1}, counted["status"]), counted["status"]
    assert counted["status"]["last_error"].startswith("404:"), counted["status"]
    assert counted["create"]["processing_time"] >= counted["create"]["average_processing_time"] > 0
    assert counted["pause"]["num_requests"] == 0, counted["pause"]
    print(f"{len(endpoints)} endpoints, each with its schema")


async def replies(nc, metrics_address):
    """A reply subject that is BioXen's or the server's: nothing is executed, and it is counted."""

    def dropped():
        with urllib.request.urlopen(f"http://{metrics_address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        name = "bioxen_reserved_reply_subjects_total"
        return sum(float(line.split()[-1]) for line in lines if line.split(" ")[0] == name)

    before = dropped()
    reserved = ["bioxen.v1.evt.alice.c1.running", "bioxen.v1.journal", "bioxen.x", "$JS.API.INFO", "$SRV.PING"]
    asked = [
        ("bioxen.v1.cmd.alice.create.c1", b'{"biological_type": "syn3a"}'),
        ("bioxen.v1.ops.root.create.alice.c1", b'{"biological_type": "syn3a"}'),
        ("$SRV.INFO.bioxen", b""),
    ]
    spied = []

    async def spy(message):
        # What the leader journals meanwhile, a tick at least, has a name; an answer has none.
        if "Nats-Msg-Id" not in (message.headers or {}):
            spied.append(message.subject)

    for subject in reserved:
        await nc.subscribe(subject, cb=spy)
    for reply in reserved:
        for subject, body in asked:
            await nc.publish(subject, body, reply=reply)
    expected = before + len(reserved) * len(asked)

    async def counted():
        return dropped() == expected

    await until(counted, f"{expected} dropped messages counted")
    # Whatever was sent before this question was taken before it.
    assert (await ask(nc, "bioxen.v1.cmd.alice.list"))["vms"] == []
    assert spied == [], spied
    fleet = await ask(nc, "bioxen.v1.cmd.alice.fleet")
    assert has({"active_vms": 0, "states": {}}, fleet), fleet
    # A reply subject of one's own is served.
    answered, _ = await request(nc, "bioxen.v1.cmd.alice.create.c1", {"biological_type": "syn3a"})
    assert answered["status"] == "created", answered
    print(f"{len(reserved) * len(asked)} messages with a reserved reply subject dropped and counted")


async def main():
    url, scenario, *more = sys.argv[1:]
    nc = await connect(url)
    await {"life": life, "doors": doors, "services": services, "replies": replies}[scenario](nc, *more)
    await nc.close()


asyncio.run(main())
