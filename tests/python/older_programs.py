"""The test programs of older BioXen users, by the bus: what each of their calls is answered.

older_programs.py URL SCENARIO
"""

import asyncio
import json
import random
import sys

from wire import ask, connect, has, refused, until

USER = "bioxen.v1.cmd.alice"


def shown(answer):
    text = json.dumps(answer, sort_keys=True)
    return text if len(text) < 300 else text[:300] + ".."


async def say(nc, verb, vm, body=None):
    answer = await ask(nc, f"{USER}.{verb}.{vm}", body)
    print(f"{verb} {vm} {json.dumps(body or {})}: {shown(answer)}")
    return answer


async def life(nc, chassis, vm, atp, ribosomes, code):
    created = await say(nc, "create", vm, {"biological_type": chassis})
    assert has({"status": "created", "state": "created"}, created), created
    assert (await say(nc, "start", vm, {"wait_ms": 30_000}))["state"] == "running"
    allocated = await say(nc, "allocate", vm, {"atp_percentage": atp, "ribosomes": ribosomes})
    assert has({"atp_percentage": atp, "ribosomes": ribosomes}, allocated["allocation"]), allocated
    assert (await say(nc, "monitor", vm, {"interval_seconds": 1}))["interval_seconds"] == 1
    executed = await say(nc, "execute", vm, {"process_code": code})
    assert executed["status"] == "completed" and executed["biological_output"], executed
    assert executed["execution_type"] == "call", executed
    metrics = await say(nc, "metrics", vm)
    assert metrics["growth_rate_per_min"] > 0, metrics
    best = await say(nc, "optimize", vm)
    assert best["gain"] >= 1 and len(best["tried"]) > 50 and not best["applied"], shown(best)
    advice = await say(nc, "recommendations", vm)
    assert advice["recommendations"], advice

    async def sampled():
        found = await ask(nc, f"{USER}.history.{vm}", {"limit": 10})
        return found["samples"] and found

    history = await until(sampled, "a sample of a monitored VM")
    assert history["samples"][-1]["metrics"]["growth_rate_per_min"] > 0, history
    await say(nc, "history", vm, {"limit": 1})
    applied = await say(nc, "optimize", vm, {"apply": True})
    status = await ask(nc, f"{USER}.status.{vm}")
    best = applied["best"]
    assert status["ribosome_allocation"] == best["ribosomes"], (shown(applied), status)
    assert status["atp_percentage"] == best["atp_percentage"], (shown(applied), status)
    assert (await say(nc, "destroy", vm, {"wait_ms": 30_000}))["state"] == "destroyed"


async def programs(nc):
    await life(nc, "syn3a", "syn3a-vm", 70.0, 12, "test_process()")
    await life(nc, "ecoli", "ecoli-vm", 90.0, 25, "test_ecoli_process()")


async def ten_at_once(nc):
    names = [f"vm-{number}" for number in range(10)]
    for verb, body, state in [
        ("create", {"biological_type": "syn3a"}, "created"),
        ("start", {"wait_ms": 30_000}, "running"),
        ("destroy", {"wait_ms": 30_000}, "destroyed"),
    ]:
        answers = await asyncio.gather(*(ask(nc, f"{USER}.{verb}.{vm}", body) for vm in names))
        assert [answer["state"] for answer in answers] == [state] * 10, answers
    print("10 VMs created, started and destroyed at once: all 10 succeeded")


async def hundred_allocations(nc, url):
    await ask(nc, f"{USER}.create.shared", {"biological_type": "ecoli"})
    await ask(nc, f"{USER}.start.shared", {"wait_ms": 30_000})
    draw = random.Random(7)

    async def client(number):
        own = await connect(url)
        for _ in range(20):
            body = {"atp_percentage": draw.randint(50, 89), "ribosomes": draw.randint(10, 29)}
            answer = await ask(own, f"{USER}.allocate.shared", body)
            assert has(body, answer["allocation"]), (body, answer)
        await own.close()

    await asyncio.gather(*(client(number) for number in range(5)))
    print("100 allocations from 5 clients: all 100 succeeded")


async def processes(nc):
    """What process code may do, and how its refusals read."""
    await ask(nc, f"{USER}.create.p1", {"biological_type": "syn3a"})
    await ask(nc, f"{USER}.start.p1", {"wait_ms": 30_000})
    before = await ask(nc, f"{USER}.metrics.p1")
    body = {"process_code": "cell.advance(30) return cell.time()", "request_id": "once"}
    script = await say(nc, "execute", "p1", body)
    assert script["execution_type"] == "script", script
    assert script["biological_output"] >= before["simulated_minutes"] + 30, script
    again = await ask(nc, f"{USER}.execute.p1", body)
    assert again["biological_output"] == script["biological_output"], again
    other = dict(body, process_code="return 1")
    await refused(nc, f"{USER}.execute.p1", other, "BX015")
    unknown = await refused(nc, f"{USER}.execute.p1", {"process_code": "test_proces()"}, "BX016")
    assert "test_process" in unknown["details"]["nearest"] and len(unknown["details"]["nearest"]) == 5, unknown
    gene = await refused(nc, f"{USER}.transcription.p1", {"gene_ids": ["dnaQQ"]}, "BX016")
    assert len(gene["details"]["nearest"]) == 5, gene
    endless = {"process_code": "while true do end", "timeout_ms": 1_000}
    stopped = await refused(nc, f"{USER}.execute.p1", endless, "BX016")
    print(f"an endless loop: {stopped['message']}")
    after = await ask(nc, f"{USER}.execute.p1", {"process_code": "get_biological_status()"})
    assert after["biological_output"], after
    started = await say(nc, "transcription", "p1", {"gene_ids": ["dnaA", "dnaN"]})
    assert started["status"] == "completed", started

    # Events and audit are told behind the answers.
    async def results():
        answer = await ask(nc, f"{USER}.events", {"limit": 1000})
        found = [event for event in answer["events"] if event["event"] == "result"]
        return found if len(found) >= 6 else None

    async def ends():
        audit = await ask(nc, f"{USER}.audit", {"limit": 1000})
        found = [record for record in audit["audit"] if record["action"] == "process"]
        return audit["audit"] if len(found) >= 6 else None

    told = await until(results, "six results are told")
    assert len(told) == 6, told
    audit = await until(ends, "six ends are audited")
    ended = [record for record in audit if record["action"] == "process"]
    starts = [record for record in audit if record["action"] in ("execute", "transcription")]
    accepted = [record for record in starts if record["outcome"] == "accepted"]
    assert len(ended) == 6 and len(accepted) == 6, (ended, starts)


async def main():
    url, scenario = sys.argv[1], sys.argv[2]
    nc = await connect(url)
    match scenario:
        case "programs":
            await programs(nc)
        case "crowds":
            await ten_at_once(nc)
            await hundred_allocations(nc, url)
        case "processes":
            await processes(nc)
    await nc.close()


asyncio.run(main())
