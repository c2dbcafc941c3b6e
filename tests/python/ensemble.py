"""An ensemble of single cells as any client has it: sent once, followed, its table fetched, through nats-py alone.

ensemble.py URL MEMBERS GENERATIONS TABLE.csv [PID OF THE COORDINATOR]

Prints a line of JSON: what was sent and how it ended, mean and coefficient of variation of the table's figures, and the
coordinator's memory while it ran.
"""

import asyncio
import csv
import io
import json
import statistics
import sys
import time

from wire import ask, connect

USER = "bioxen.v1.cmd.alice"
PATIENCE_SECONDS = 1800
FIGURES = ["simulated_minutes", "growth_rate_per_min", "protein_total", "mrna_total", "ribosomes_total"]


def body(members, generations):
    return {
        "name": "pulse",
        "biological_type": "syn3a",
        "engine": "stochastic",
        "seed": 7,
        "replicates": members,
        "horizon_generations": generations,
        "schedule": [
            {"at_minute": 60, "parameters": {"cl": 4}},
            {"at_minute": 90, "parameters": {"cl": 0}},
        ],
        "record": {"variables": ["growth_rate_per_min", "protein_total", "mrna_total"], "every_minutes": 2},
    }


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


async def finished(nc, pid):
    """Waits for the end; the last status, and the memory seen on the way."""
    begun, resident = time.monotonic(), []
    while True:
        status = await ask(nc, f"{USER}.status.pulse")
        if pid:
            resident.append((status["completed"], resident_kib(pid)))
        if status["state"] == "stopped":
            return status, resident
        assert time.monotonic() - begun < PATIENCE_SECONDS, f"it does not end: {status}"
        await asyncio.sleep(0.2)


async def table(nc):
    text, offset = "", 0
    while offset is not None:
        chunk = await ask(nc, f"{USER}.results.pulse", {"format": "csv", "offset": offset, "limit": 250})
        text += chunk["data"]
        offset = chunk["next"]
    return text


def spread(values):
    mean = statistics.fmean(values)
    return {"mean": mean, "cv": statistics.stdev(values) / mean}


async def main():
    url, members, generations, path, *pid = sys.argv[1:]
    nc = await connect(url)
    begun = time.monotonic()
    sent = await ask(nc, f"{USER}.ensemble", body(int(members), int(generations)))
    assert sent["members"] == int(members), sent
    status, resident = await finished(nc, pid[0] if pid else None)
    seconds = time.monotonic() - begun
    text = await table(nc)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == int(members), len(rows)
    with open(path, "w") as file:
        file.write(text)
    told = {
        "completed": status["completed"],
        "failed": status["failed"],
        "seconds": round(seconds, 1),
        "figures": {name: spread([float(row[name]) for row in rows]) for name in FIGURES},
    }
    if resident:
        kib = [kib for _, kib in resident]
        halfway = [kib for completed, kib in resident if 2 * completed >= int(members)]
        told["resident_kib"] = {"least": min(kib), "most": max(kib), "halfway": halfway[0], "end": kib[-1]}
    print(json.dumps(told))
    await nc.close()


asyncio.run(main())
