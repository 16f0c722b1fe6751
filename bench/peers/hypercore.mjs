// Two corestores, each with a log of its own that the other knows by its key; replicated over TCP.
import { readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import Corestore from 'corestore'
import { now, pause, run, say, texts } from './process.mjs'

const BATCH = 1_000

async function open(home) {
  const store = new Corestore(`${home}/store`)
  const own = store.get({ name: 'log', allowLatestBlock: true })
  await own.ready()
  return { store, own }
}

/** The other's log, wanted whole and as it grows. */
async function other(store, home) {
  const key = Buffer.from(readFileSync(`${home}/other`, 'utf8'), 'hex')
  const core = store.get({ key, allowLatestBlock: true })
  await core.ready()
  core.download({ start: 0, end: -1 })
  return core
}

/** Says `ready`, and then listens on a free port, or dials the given one; gives the socket once there is one. */
function connect(store, port) {
  return new Promise((resolve) => {
    const attach = (socket, isInitiator) => {
      socket.setNoDelay(true)
      const stream = store.replicate(isInitiator)
      socket.on('error', () => {}).pipe(stream.on('error', () => {})).pipe(socket)
      resolve(socket)
    }
    if (port !== '0') {
      say({})
      attach(net.connect(Number(port), '127.0.0.1'), true)
      return
    }
    const server = net.createServer((socket) => attach(socket, false))
    server.listen(0, '127.0.0.1', () => say({ port: server.address().port }))
  })
}

async function make(left, right) {
  const sides = await Promise.all([left, right].map(open))
  writeFileSync(`${left}/other`, sides[1].own.key.toString('hex'))
  writeFileSync(`${right}/other`, sides[0].own.key.toString('hex'))
  await Promise.all(sides.map((side) => side.store.close()))
}

async function fill(home, count, path) {
  const { store, own } = await open(home)
  const blocks = texts(path).map((text) => Buffer.from(text))
  for (let start = 0; start < count; start += BATCH) {
    const size = Math.min(BATCH, count - start)
    await own.append(Array.from({ length: size }, (_, place) => blocks[(start + place) % blocks.length]))
  }
  await store.close()
}

/** Until so many messages are here, its own and the other's without a gap. */
async function hold(home, port, wanted) {
  const { store, own } = await open(home)
  const core = await other(store, home)
  const socket = connect(store, port)
  await new Promise((resolve) => {
    const look = () => own.length + core.contiguousLength >= Number(wanted) && resolve()
    core.on('append', look).on('download', look)
    look()
  })
  if (core.length) await core.get(core.length - 1, { wait: false })
  const done = now()
  await pause(500) // the other may still be asking
  const { bytesRead, bytesWritten } = await socket
  say({ done, bytes_in: bytesRead, bytes_out: bytesWritten })
  return true
}

async function write(home, port, count, gapMs) {
  const { store, own } = await open(home)
  await connect(store, port)
  await pause(1_000)
  for (let n = 0; n < count; n++) {
    await own.append(Buffer.from(`written at ${now()}`))
    await pause(Number(gapMs))
  }
  return true
}

async function read(home, port, count) {
  const { store } = await open(home)
  const core = await other(store, home)
  connect(store, port)
  const took = []
  for (let n = 0; n < count; n++) {
    const text = (await core.get(n)).toString()
    took.push((now() - Number(text.split(' ').at(-1))) / 1e6)
  }
  say({ took })
  return true
}

await run({ make, fill, hold, write, read })
