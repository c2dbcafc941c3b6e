"""A guest's life through PyPI's XenAPI (XML-RPC): the pool's address, user, password and template come as arguments;
with a fifth, a public key's file, the guest is spoken to over SSH by the private key beside it."""

import base64
import subprocess
import sys
import time

import XenAPI

url, user, password, template_name = sys.argv[1:5]
key_file = sys.argv[5] if len(sys.argv) > 5 else None
session = XenAPI.Session(url, ignore_ssl=True)
session.xenapi.login_with_password(user, password, "2.21", "bioxen-test")
api = session.xenapi
# Two words of Python's own.
events_from, asynchronous = getattr(api.event, "from"), getattr(api, "Async")


def refused(call, *expected):
    try:
        call()
    except XenAPI.Failure as failure:
        assert failure.details[: len(expected)] == list(expected), failure.details
        return failure.details
    raise AssertionError(f"{expected} was expected")


def done(task):
    while api.task.get_status(task) == "pending":
        time.sleep(0.01)
    status, result = api.task.get_status(task), api.task.get_result(task)
    error = api.task.get_error_info(task)
    api.task.destroy(task)
    return status, result, error


found = [vm for vm in api.VM.get_by_name_label(template_name)
         if api.VM.get_is_a_template(vm) and not api.VM.get_is_a_snapshot(vm)]
[template] = found
assert len(api.VM.get_by_name_label(template_name)) == 2
first = events_from(["vm"], "", 1.0)
token = first["token"]
assert int(first["valid_ref_counts"]["vm"]) == len(api.VM.get_all())

status, result, _ = done(asynchronous.VM.clone(template, "a cell"))
assert status == "success" and result.startswith("<value>OpaqueRef:"), (status, result)
vm = result[len("<value>"):-len("</value>")]
refused(lambda: api.VM.start(vm, False, False), "VM_IS_TEMPLATE", vm)
api.VM.provision(vm)
refused(lambda: api.VM.provision(vm), "OPERATION_NOT_ALLOWED")
api.VM.add_to_other_config(vm, "bioxen:vm", "a-cell")
duplicate = refused(lambda: api.VM.add_to_other_config(vm, "bioxen:vm", "b"), "MAP_DUPLICATE_KEY", "VM", "other_config")
assert duplicate[3:] == [api.VM.get_uuid(vm), "bioxen:vm"]
gib = 1 << 30
api.VM.set_memory_limits(vm, str(gib), str(2 * gib), str(2 * gib), str(2 * gib))
assert api.VM.get_memory_static_max(vm) == str(2 * gib)
refused(lambda: api.VM.set_VCPUs_at_startup(vm, "4"), "INVALID_VALUE", "VCPUs_at_startup", "4")
api.VM.set_VCPUs_max(vm, "4")
api.VM.set_VCPUs_at_startup(vm, "4")
if key_file:
    with open(key_file) as file:
        data = "#cloud-config\nssh_authorized_keys:\n  - " + file.read().strip() + "\n"
    api.VM.add_to_xenstore_data(vm, "vm-data/user-data", base64.b64encode(data.encode()).decode())

refused(lambda: api.VM.unpause(vm), "VM_BAD_POWER_STATE", vm, "paused", "halted")
status, _, error = done(asynchronous.VM.start(vm, False, False))
assert status == "success", error
status, _, error = done(asynchronous.VM.start(vm, False, False))
assert status == "failure" and error == ["VM_BAD_POWER_STATE", vm, "halted", "running"], error

address = None
deadline = time.monotonic() + 30
while address is None and time.monotonic() < deadline:
    batch = events_from(["vm", "vm_guest_metrics"], token, 5.0)
    token = batch["token"]
    for event in batch["events"]:
        if event["class"] == "vm_guest_metrics" and "snapshot" in event:
            address = event["snapshot"]["networks"].get("0/ip")
assert address, "the guest got an address"


def ssh(command, patience=10):
    options = ["-i", key_file.removesuffix(".pub"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
               "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", f"ConnectTimeout={patience}"]
    return subprocess.run(["ssh", *options, f"bioxen@{address}", command], capture_output=True, text=True,
                          timeout=patience + 5, stdin=subprocess.DEVNULL)


if key_file:
    said = ssh("echo hello > mark; cat mark; id -un")
    assert said.stdout == "hello\nbioxen\n", (said.stdout, said.stderr)

api.VM.pause(vm)
if key_file:
    assert ssh("true", 1).returncode != 0
api.VM.unpause(vm)
snapshot = api.VM.snapshot(vm, "before")
assert api.VM.get_is_a_snapshot(snapshot) and api.VM.get_snapshot_of(snapshot) == vm
if key_file:
    assert ssh("echo changed > mark; cat mark").stdout == "changed\n"
api.VM.clean_shutdown(vm)
assert api.VM.get_power_state(vm) == "Halted"
api.VM.revert(snapshot)
api.VM.start(vm, False, False)
if key_file:
    while True:
        metrics = api.VM.get_guest_metrics(vm)
        if metrics != "OpaqueRef:NULL":
            address = api.VM_guest_metrics.get_networks(metrics)["0/ip"]
            break
        time.sleep(0.01)
    assert ssh("cat mark").stdout == "hello\n"

disks = [api.VBD.get_VDI(vbd) for one in (vm, snapshot) for vbd in api.VM.get_VBDs(one)]
refused(lambda: api.VDI.destroy(disks[0]), "VDI_IN_USE", disks[0], "destroy")
api.VM.hard_shutdown(vm)
api.VM.destroy(vm)
api.VM.destroy(snapshot)
refused(lambda: api.VM.get_record(vm), "HANDLE_INVALID", "VM", vm)
for disk in disks:
    api.VDI.destroy(disk)
api.session.logout()
print("done")
