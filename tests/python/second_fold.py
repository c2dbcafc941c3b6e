#!/usr/bin/env python3
"""A second fold of the journal, written apart from the first: who holds what, by the rules and not by what it says.

It reads every message of BIOXEN_JOURNAL as it is stored and shares nothing with BioXen but the format. From the
sequence of entries it works out what each VM must hold: a slot and its allocation from the moment it is created or
placed, nothing while it waits, more at once when more is allocated, less only when its worker has confirmed, the slot
alone once it has stopped or failed, nothing once it is destroyed; and what may still run gives nothing back. Members of
an ensemble are made once each, by their number, and one that fails gives everything back where it is to be released. It
compares that with the `held` of each entry, adds it up for each user, each worker and the fleet, and holds the sums
against the limits after every entry. It also checks that the batches are one unbroken chain.

    python3 second_fold.py nats://127.0.0.1:4222

Prints one JSON object: totals for each user and the fleet, the highest sums seen, refusals, what each VM holds, and
`faults`. Exit code 0 where there are no faults.
"""

import asyncio
import hashlib
import json
import sys
from collections import defaultdict

import msgpack
import nats

STREAM, SUBJECT = "BIOXEN_JOURNAL", "bioxen.v1.journal"
KINDS = ("slots", "atp_millipercent", "ribosomes", "memory_kb")
NOTHING, SLOT = (0, 0, 0, 0), (1, 0, 0, 0)
MOST_FAULTS = 20


async def stored(url):
    """Every message: (sequence, headers, payload)."""
    client = await nats.connect(url)
    messages = []
    try:
        stream = client.jetstream()
        last = (await stream.stream_info(STREAM)).state.last_seq
        reader = await stream.subscribe(SUBJECT, stream=STREAM, ordered_consumer=True)
        while not messages or messages[-1][0] < last:
            message = await reader.next_msg(timeout=30)
            messages.append((message.metadata.sequence.stream, message.headers or {}, message.data))
    finally:
        await client.close()
    return messages


def slot_and(allocation):
    return (1, *allocation)


def amounts(held):
    return tuple(held[kind] for kind in KINDS)


def allocation_of(fields):
    return tuple(fields[kind] for kind in KINDS[1:])


def highest(*several):
    return tuple(max(parts) for parts in zip(*several, strict=True))


def millipercent(percent):
    return None if percent is None else round(percent * 1000)


class Vm:
    def __init__(self, created, index):
        self.state = "queued" if created["queued"] else "created"
        self.allocation = allocation_of(created["order"]["allocation"])
        self.confirmed = self.allocation
        # Accepted changes that no checkpoint contains: [ordinal, allocation].
        self.changes = []
        self.releases = created["on_complete"] == "release"
        self.is_member = created.get("member") is not None
        self.place = None
        self.generation = None
        # Whether it shall go to another worker, and whether its placement is over and it waits for the next.
        self.moving = self.over = False
        # In effect where it starts from: in its checkpoint, or at minute 0.
        self.at_start = self.allocation
        # Checkpoints by name: where the cell stands in each, and what is in effect there.
        self.kept = {}
        # Who waits is started by priority, then age.
        self.turn = (created["order"]["priority"], index)
        self.holds = NOTHING if created["queued"] else slot_and(self.allocation)

    def in_effect_or_asked(self, applied):
        later = [allocation for ordinal, allocation in self.changes if ordinal > applied]
        return slot_and(highest(self.confirmed, *later))

    def allocation_at(self, applied):
        contained = [allocation for ordinal, allocation in self.changes if ordinal <= applied]
        return contained[-1] if contained else self.at_start

    def confirm(self, applied):
        for ordinal, allocation in self.changes:
            if ordinal <= applied:
                self.confirmed = allocation

    def leave(self, state, holds):
        self.state, self.holds, self.place, self.generation = state, holds, None, None
        self.moving = self.over = False


class Fold:
    def __init__(self):
        self.vms, self.workers, self.limits, self.config = {}, {}, {}, None
        # (user, name): members, how many were made, and whether more are.
        self.ensembles = {}
        self.users = defaultdict(lambda: NOTHING)
        self.queued = defaultdict(int)
        self.fleet, self.peak = NOTHING, NOTHING
        self.worker_peak = defaultdict(lambda: NOTHING)
        self.refused = defaultdict(int)
        self.kinds = defaultdict(int)
        self.started = []
        self.faults = []
        self.index = 0
        self.incarnation = None

    def fault(self, text):
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"index {self.index}: {text}")

    # Sums: a VM is taken out before it changes and put back after.

    def add(self, key, vm, sign):
        def moved(total):
            return tuple(a + sign * b for a, b in zip(total, vm.holds, strict=True))

        self.users[key[0]] = moved(self.users[key[0]])
        self.fleet = moved(self.fleet)
        self.queued[key[0]] += sign * (vm.state == "queued")
        worker = self.worker_of(vm)
        if worker:
            worker["holds"] = moved(worker["holds"])

    def worker_of(self, vm):
        worker = self.workers.get(vm.place and vm.place[0])
        return worker if worker and worker["boot"] == vm.place[1] else None

    def may_run(self, vm):
        worker = self.worker_of(vm)
        return bool(worker and worker["live"]) and not vm.over

    def entry(self, entry):
        self.index += 1
        name, fields = (entry, None) if isinstance(entry, str) else next(iter(entry.items()))
        self.kinds[name] += 1
        before = (self.fleet, dict(self.users), {name: w["holds"] for name, w in self.workers.items()})
        take = getattr(self, f"take_{name.lower()}", None)
        if take is None:
            return self.fault(f"unknown kind of entry {name}")
        key = None
        if isinstance(fields, dict) and isinstance(fields.get("key"), dict):
            key = (fields["key"]["user"], fields["key"]["vm"])
        vm = self.vms.get(key)
        if name in ("Ensemble", "MemberRefused", "EnsembleDesired"):
            take(fields, key)
        elif key is None:
            take(fields)
        elif vm is None and name != "Created":
            return self.fault(f"{name} of {key}, which does not exist")
        else:
            self.about_vm(name, take, fields, key, vm)
        self.check_limits(*before)
        return None

    def about_vm(self, name, take, fields, key, vm):
        if vm:
            self.add(key, vm, -1)
        now = take(fields, key, vm) or vm
        self.vms[key] = now
        self.add(key, now, +1)
        if "held" in fields and amounts(fields["held"]) != now.holds:
            told = amounts(fields["held"])
            self.fault(f"{name} of {key}, now {now.state}: it states {told}, by the rules it holds {now.holds}")

    def expect(self, vm, key, what, *states):
        if vm.state not in states:
            self.fault(f"{what} of {key}, which is {vm.state}")

    def check_limits(self, fleet, users, workers):
        self.peak = highest(self.peak, self.fleet)
        if self.config is None:
            return
        config = self.config
        fleet_limits = (
            config["max_concurrent_vms"],
            millipercent(config["global_atp_limit"]),
            config["global_ribosome_limit"],
            None,
        )
        self.within("the fleet", self.fleet, fleet, fleet_limits)
        for user, now in self.users.items():
            if now == users.get(user):
                continue
            self.within(f"user {user}", now, users.get(user, NOTHING), self.limits_of(user))
        for name, worker in self.workers.items():
            self.worker_peak[name] = highest(self.worker_peak[name], worker["holds"])
            limits = (worker["max_vms"], None, worker["usable"], None)
            self.within(f"worker {name}", worker["holds"], workers.get(name, NOTHING), limits)

    def within(self, whose, now, before, limits):
        for kind, after, was, limit in zip(KINDS, now, before, limits, strict=True):
            # Where a limit was lowered, what is above it may stay but not grow.
            if after < 0 or (limit is not None and after > limit and after > was):
                self.fault(f"{whose} holds {after} {kind}, the limit is {limit}")

    def limits_of(self, user):
        own, config = self.limits.get(user, {}), self.config

        def limit(name, default):
            return own[name] if own.get(name) is not None else config[default]

        return (
            limit("max_vms", "max_vms_per_user"),
            millipercent(limit("max_atp", "max_atp_per_user")),
            limit("max_ribosomes", "max_ribosomes_per_user"),
            None,
        )

    # Entries of fleet and workers.

    def take_nothing(self, _):
        pass

    take_leader = take_resign = take_activate = take_tick = take_alerted = take_leaving = take_nothing

    def take_configured(self, fields):
        self.config = fields["config"]

    def take_limitsset(self, fields):
        self.limits[fields["user"]] = fields["limits"]

    def take_rejected(self, fields):
        if fields["count"] < 1:
            self.fault("a refusal that stands for none")
        self.refused[fields["user"]] += fields["count"]

    def take_registered(self, fields):
        name, boot, capacity = fields["worker"], fields["boot"], fields["capacity"]
        known = self.workers.get(name)
        if known and known["boot"] != boot and known["live"]:
            self.fault(f"boot {boot} of worker {name} while {known['boot']} was not over")
        here = [vm.holds for vm in self.vms.values() if vm.place == (name, boot)]
        holds = tuple(sum(parts) for parts in zip(*here, strict=True)) if here else NOTHING
        usable, most = capacity["usable_ribosomes"], capacity["max_vms"]
        self.workers[name] = {"boot": boot, "live": True, "usable": usable, "max_vms": most, "holds": holds}

    def take_expired(self, fields):
        worker = self.workers.get(fields["worker"])
        if not worker or worker["boot"] != fields["boot"]:
            return
        worker["live"] = False
        for vm in self.vms.values():
            here = vm.place == (fields["worker"], fields["boot"])
            if here and vm.state in ("starting", "running", "paused"):
                vm.state = "unknown"

    def take_cordoned(self, fields):
        if fields["worker"] not in self.workers:
            self.fault(f"worker {fields['worker']} was cordoned and never registered")

    def take_backuprestored(self, _):
        """Another life: nothing that ran before runs any more, and what it held is kept for where it runs next."""
        for worker in self.workers.values():
            worker["live"] = False
            worker["holds"] = NOTHING
        for vm in self.vms.values():
            if vm.place and vm.state in ("starting", "running", "paused"):
                vm.state = "unknown"
            vm.place = None

    # Entries of an ensemble.

    def take_ensemble(self, fields, key):
        self.ensembles[key] = {"members": fields["members"], "made": 0, "open": True}
        self.queued[key[0]] += fields["members"]

    def take_memberrefused(self, fields, key):
        self.member_made(key, fields["number"])

    def take_ensembledesired(self, fields, key):
        ensemble = self.ensembles[key]
        if ensemble["open"]:
            self.queued[key[0]] -= ensemble["members"] - ensemble["made"]
        ensemble["open"] = False

    def member_made(self, key, number):
        ensemble = self.ensembles.get(key)
        if not ensemble or not ensemble["open"] or number != ensemble["made"] + 1 or number > ensemble["members"]:
            return self.fault(f"member {number} of {key}, whose turn it was not: {ensemble}")
        ensemble["made"] += 1
        self.queued[key[0]] -= 1
        return None

    # Entries of a VM.

    def take_created(self, fields, key, vm):
        if vm:
            self.expect(vm, key, "Created", "destroyed")
        number = fields.get("member")
        if number is not None:
            name, suffix = key[1].rsplit("-", 1)
            if suffix != f"{number:05}":
                self.fault(f"{key} is called member {number}")
            self.member_made((key[0], name), number)
        return Vm(fields, self.index)

    def take_queued(self, fields, key, vm):
        self.expect(vm, key, "Queued", "created", "stopped", "failed")
        vm.state, vm.holds, vm.turn = "queued", NOTHING, (vm.turn[0], self.index)

    def take_started(self, fields, key, vm):
        self.expect(vm, key, "Started", "created", "stopped", "failed")

    def take_placed(self, fields, key, vm):
        if not vm.over:
            self.expect(vm, key, "Placed", "created", "queued", "stopped", "failed")
            self.started.append("/".join(key))
        worker = self.workers.get(fields["worker"])
        if not worker or not worker["live"] or worker["boot"] != fields["boot"]:
            self.fault(f"{key} was placed on {fields['worker']}, which does not offer itself")
        if vm.state == "queued":
            self.check_turn(key, vm)
        # Who comes from another worker is seen as it was; a lost one starts.
        if not vm.over or vm.state not in ("running", "paused"):
            vm.state = "starting"
        vm.place = (fields["worker"], fields["boot"])
        vm.moving = vm.over = False
        vm.generation = (self.incarnation, self.index)
        vm.confirmed = vm.at_start
        vm.holds = highest(slot_and(vm.allocation), vm.in_effect_or_asked(0))

    def take_moving(self, fields, key, vm):
        self.expect(vm, key, "Moving", "starting", "running", "paused", "unknown")
        vm.moving = True

    def check_turn(self, key, vm):
        for other, waits in self.vms.items():
            if waits.state == "queued" and waits.turn < vm.turn:
                sums = (a + b for a, b in zip(self.users[other[0]], slot_and(waits.allocation), strict=True))
                limits = self.limits_of(other[0])
                if not any(limit is not None and a > limit for a, limit in zip(sums, limits, strict=True)):
                    self.fault(f"{key} was started before {other}, whose turn it was")

    def take_desired(self, fields, key, vm):
        desired, runs = fields["desired"], self.may_run(vm)
        if desired in ("running", "paused"):
            return self.expect(vm, key, desired, "starting", "running", "paused")
        if desired == "stopped":
            self.expect(vm, key, "stop", "queued", "starting", "running", "paused", "unknown")
            left = NOTHING if vm.state == "queued" else SLOT
        else:
            left = NOTHING
        vm.moving = False
        if runs:
            # Given back when its worker confirms, not before.
            vm.state = "stopping" if desired == "stopped" else "destroying"
        else:
            vm.leave("stopped" if desired == "stopped" else "destroyed", left)
        return None

    def take_allocated(self, fields, key, vm):
        self.expect(vm, key, "Allocated", "created", "starting", "running", "paused")
        asked = allocation_of(fields["allocation"])
        vm.allocation = asked
        if vm.place is None:
            vm.confirmed, vm.at_start, vm.holds = asked, asked, slot_and(asked)
        else:
            vm.changes.append((fields["ordinal"], asked))
            vm.holds = highest(vm.holds, slot_and(asked))

    def take_checkpointed(self, fields, key, vm):
        self.expect(vm, key, "Checkpointed", "running", "paused", "stopped", "failed")
        taken = fields["taken"]
        if hashlib.sha256(bytes(taken["bytes"])).hexdigest() != taken["digest"]:
            self.fault(f"checkpoint c{self.index} of {key} is not what its digest says")
        vm.kept[f"c{self.index}"] = (taken["tick"], vm.allocation_at(taken["applied"]))

    def take_restored(self, fields, key, vm):
        self.expect(vm, key, "Restored", "stopped", "failed")
        allocation = allocation_of(fields["allocation"])
        if vm.kept.get(fields["checkpoint"]) != (fields["tick"], allocation):
            self.fault(f"{key} was restored to {fields}, it kept {vm.kept}")
        vm.allocation = vm.confirmed = vm.at_start = allocation
        vm.changes = []
        vm.leave("stopped", SLOT)

    def take_rehomed(self, fields, key, vm):
        self.expect(vm, key, "Rehomed", "stopped")

    def take_recovered(self, fields, key, vm):
        self.expect(vm, key, "Recovered", "stopped", "failed", "queued", "unknown")
        if vm.state == "unknown":
            if self.may_run(vm):
                self.fault(f"{key} was taken from {vm.place}, which still has it")
            vm.over = True
        taken = fields["taken"]
        if taken is not None:
            vm.at_start = vm.confirmed = vm.allocation_at(taken["applied"])
            vm.changes = [change for change in vm.changes if change[0] > taken["applied"]]

    def take_installed(self, fields, key, vm):
        self.expect(vm, key, "install", "created", "starting", "running", "paused")
        if fields["ordinal"]:
            # It takes its turn among the changes and changes no allocation.
            vm.changes.append((fields["ordinal"], vm.allocation))

    def take_of_process(self, fields, key, vm):
        pass

    take_processstarted = take_processlost = take_callstarted = take_monitored = take_of_process

    def take_observed(self, fields, key, vm):
        generation = (fields["generation"]["incarnation"], fields["generation"]["index"])
        if generation != vm.generation or vm.over:
            return self.fault(f"observed {key} in generation {generation}, it is {vm.generation}")
        seen, was = fields["state"], vm.state
        vm.confirm(fields["applied"])
        if fields["checkpoint"] is not None:
            vm.at_start = vm.confirmed
            vm.changes = [change for change in vm.changes if change[0] > fields["applied"]]
        if vm.moving and seen == "stopped" and was in ("starting", "running", "paused", "unknown"):
            # It keeps all that it holds until it has another place.
            vm.over = True
        elif was == "destroying":
            if seen == "absent":
                vm.leave("destroyed", NOTHING)
        elif seen == "completed" and vm.releases:
            vm.leave("destroyed", NOTHING)
        elif seen in ("stopped", "completed") or (was == "stopping" and seen in ("absent", "failed")):
            vm.leave("stopped", SLOT)
        elif was == "stopping":
            pass
        elif seen in ("running", "paused"):
            vm.state, vm.holds = seen, vm.in_effect_or_asked(fields["applied"])
        elif vm.is_member and vm.releases:
            vm.leave("destroyed", NOTHING)
        else:
            vm.leave("failed", SLOT)
        return None


def fold(messages):
    folded = Fold()
    hash_before, before = bytes(32), None
    if messages and msgpack.unpackb(messages[0][2], raw=False)["first_index"] > 1:
        sys.exit("the journal was compacted: this fold needs all of it, so [snapshots] every_entries must be larger")
    for place, (sequence, headers, payload) in enumerate(messages):
        batch = msgpack.unpackb(payload, raw=False, strict_map_key=True)
        digest = hashlib.sha256(payload).digest()
        if sequence != messages[0][0] + place:
            folded.fault(f"the stream has a hole before sequence {sequence}")
        if batch["previous_hash"] != hash_before:
            folded.fault(f"the batch at sequence {sequence} does not join the one before")
        if batch["first_index"] != folded.index + 1:
            folded.fault(f"the batch at sequence {sequence} starts at index {batch['first_index']}")
        # A batch that was put back, from a ledger or a backup, has no name: the server would take it for a repeat.
        if headers.get("Nats-Msg-Id", digest.hex()) != digest.hex():
            folded.fault(f"the batch at sequence {sequence} is not named by its hash")
        if before and (batch["time_ms"] < before["time_ms"] or batch["epoch"] < before["epoch"]):
            folded.fault(f"time or epoch goes back at sequence {sequence}")
        if before and batch["fleet"] != before["fleet"]:
            folded.fault(f"the batch at sequence {sequence} is another fleet's")
        folded.incarnation = batch["incarnation"]
        for entry in batch["entries"]:
            folded.entry(entry)
        added_up(folded)
        hash_before, before = digest, batch
    return folded


def added_up(folded):
    """After each batch the sums are what the VMs hold, added up anew."""
    users = defaultdict(lambda: NOTHING)
    for (user, _), vm in folded.vms.items():
        users[user] = tuple(a + b for a, b in zip(users[user], vm.holds, strict=True))
    fleet = tuple(map(sum, zip(*users.values(), strict=True))) if users else NOTHING
    if fleet != folded.fleet or any(folded.users[user] != held for user, held in users.items()):
        folded.fault("the sums are not what the VMs hold")


def named(held):
    return dict(zip(KINDS, held, strict=True))


def main():
    messages = asyncio.run(stored(sys.argv[1]))
    folded = fold(messages)
    users = {user: {**named(held), "queued": folded.queued[user]} for user, held in folded.users.items()}
    states = {"/".join(key): {"state": vm.state, **named(vm.holds)} for key, vm in folded.vms.items()}
    found = {
        "batches": len(messages),
        "entries": folded.index,
        "kinds": folded.kinds,
        "users": users,
        "fleet": named(folded.fleet),
        "peak": named(folded.peak),
        "worker_peak": {name: named(held) for name, held in folded.worker_peak.items()},
        "refused": folded.refused,
        "started": folded.started,
        "vms": states,
        "faults": folded.faults,
    }
    print(json.dumps(found))
    sys.exit(1 if folded.faults else 0)


if __name__ == "__main__":
    main()
