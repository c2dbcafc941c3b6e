// A guest's life through npm's xen-api (JSON-RPC): where xen-api is installed, then the pool's address, user, password
// and template come as arguments.

import assert from 'node:assert/strict'

const [where, url, user, password, templateName] = process.argv.slice(2)
const { createClient } = await import(`${where}/xen-api/index.mjs`)

const xapi = createClient({ url, auth: { user, password }, allowUnauthorized: true })
await xapi.connect()
await xapi.objectsFetched

async function refused(promise, code, ...params) {
  const error = await promise.then(() => undefined, error => error)
  assert.equal(error?.code, code, String(error))
  assert.deepEqual(error.params.slice(0, params.length), params)
}

const objects = () => Object.values(xapi.objects.all)
const template = objects().find(
  object => object.$type === 'VM' && object.name_label === templateName && object.is_a_template && !object.is_a_snapshot
)
assert.ok(template, 'its objects have the template')

const vm = await xapi.callAsync('VM.clone', template.$ref, 'a cell')
assert.match(vm, /^OpaqueRef:/)
await refused(xapi.callAsync('VM.start', vm, false, false), 'VM_IS_TEMPLATE', vm)
await xapi.callAsync('VM.provision', vm)
await xapi.call('VM.add_to_other_config', vm, 'bioxen:vm', 'a-cell')
await refused(xapi.call('VM.add_to_other_config', vm, 'bioxen:vm', 'b'), 'MAP_DUPLICATE_KEY', 'VM', 'other_config')
const gib = 2 ** 30
await xapi.call('VM.set_memory_limits', vm, gib, 2 * gib, 2 * gib, 2 * gib)
assert.equal(await xapi.call('VM.get_memory_static_max', vm), 2 * gib)
await refused(xapi.call('VM.unpause', vm), 'VM_BAD_POWER_STATE', vm, 'paused', 'halted')
await xapi.callAsync('VM.start', vm, false, false)

// Events alone say where the guest is.
const address = await new Promise(resolve => {
  const look = () => {
    const metrics = objects().find(object => object.$type === 'VM_guest_metrics' && object.networks['0/ip'])
    if (metrics) resolve(metrics.networks['0/ip'])
    else setTimeout(look, 10)
  }
  look()
})
assert.match(address, /^127\./)

await xapi.callAsync('VM.pause', vm)
await xapi.callAsync('VM.unpause', vm)
const snapshot = await xapi.callAsync('VM.snapshot', vm, 'before')
await xapi.callAsync('VM.clean_shutdown', vm)
await xapi.callAsync('VM.revert', snapshot)
const disks = []
for (const one of [vm, snapshot]) {
  for (const vbd of await xapi.call('VM.get_VBDs', one)) disks.push(await xapi.call('VBD.get_VDI', vbd))
}
await xapi.callAsync('VM.start', vm, false, false)
await refused(xapi.callAsync('VDI.destroy', disks[0]), 'VDI_IN_USE', disks[0], 'destroy')
await xapi.callAsync('VM.hard_shutdown', vm)
await xapi.callAsync('VM.destroy', vm)
await xapi.callAsync('VM.destroy', snapshot)
await refused(xapi.call('VM.get_record', vm), 'HANDLE_INVALID', 'VM', vm)
for (const disk of disks) await xapi.callAsync('VDI.destroy', disk)
await xapi.disconnect()
console.log('done')
process.exit(0)
