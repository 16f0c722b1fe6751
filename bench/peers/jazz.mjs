// Two nodes, each with an account and its store in SQLite, that write private items to one feed (a CoStream);
// synced over a WebSocket, the left one as the server.
import { readFileSync, writeFileSync } from 'node:fs'
import { cojsonInternals, getSqliteStorage, LocalNode } from 'cojson'
import { NapiCrypto } from 'cojson/crypto/NapiCrypto'
import { createWebSocketPeer } from 'cojson-transport-ws'
import Database from 'libsql'
import { WebSocket, WebSocketServer } from 'ws'
import { now, pause, run, say, texts } from './process.mjs'

const BATCH = 1_000

/** What Jazz asks of a database; statements are prepared once. */
function driver(path) {
  const db = new Database(path)
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = NORMAL') // what better-sqlite3, which Jazz's own servers use, comes with
  const prepared = new Map()
  const statement = (sql) => {
    if (!prepared.has(sql)) prepared.set(sql, db.prepare(sql))
    return prepared.get(sql)
  }
  const execute = (sql, params) => void statement(sql).run(params)
  return {
    run: execute,
    get: (sql, params) => statement(sql).get(params),
    query: (sql, params) => statement(sql).all(params),
    transaction(callback) {
      execute('BEGIN', [])
      try {
        callback()
        execute('COMMIT', [])
      } catch (error) {
        execute('ROLLBACK', [])
        throw error
      }
    },
    closeDb: () => db.close()
  }
}

const storage = (home) => getSqliteStorage(driver(`${home}/jazz.db`))

async function make(left, right) {
  const crypto = await NapiCrypto.create()
  const sides = []
  for (const home of [left, right]) {
    const creationProps = { name: home }
    sides.push(await LocalNode.withNewlyCreatedAccount({ creationProps, crypto, storage: storage(home) }))
  }
  const [one, two] = sides.map((side) => side.node)
  const [toTwo, toOne] = cojsonInternals.connectedPeers('two', 'one', { peer1role: 'server', peer2role: 'client' })
  two.syncManager.addPeer(toOne)
  one.syncManager.addPeer(toTwo)
  const group = one.createGroup()
  group.addMember(await one.load(sides[1].accountID), 'writer')
  const stream = group.createStream()
  await two.load(stream.id)
  for (const node of [one, two]) await node.syncManager.waitForAllCoValuesSync()
  for (const [home, { accountID, accountSecret, sessionID }] of [[left, sides[0]], [right, sides[1]]]) {
    writeFileSync(`${home}/account`, JSON.stringify({ accountID, accountSecret, sessionID, stream: stream.id }))
  }
}

/** The node of a home and its feed, with all that the home holds loaded, and nothing of it opened yet. */
async function open(home) {
  const { stream: id, ...account } = JSON.parse(readFileSync(`${home}/account`, 'utf8'))
  const crypto = await NapiCrypto.create()
  const node = await LocalNode.withLoadedAccount({ ...account, peers: [], crypto, storage: storage(home) })
  const core = await node.loadCoValueCore(id)
  await core.waitForFullStreaming()
  return { node, core }
}

async function fill(home, count, path) {
  const { node, core } = await open(home)
  const bodies = texts(path)
  for (let n = 0; n < count; n++) {
    // what push() of a feed does; but where a feed is open it sorts all its items each time
    core.makeTransaction([bodies[n % bodies.length]], 'private')
    if (n % BATCH === 0) await pause(0)
  }
  await node.syncManager.waitForStorageSync(core.id)
  node.storage.close()
}

/** Says `ready`, and then listens on a free port, or dials the given one; gives the socket once there is one. */
function connect(node, port) {
  return new Promise((resolve) => {
    const attach = (websocket, role) => {
      node.syncManager.addPeer(createWebSocketPeer({ id: role, websocket, role, expectPings: false }))
      resolve(websocket)
    }
    if (port !== '0') {
      say({})
      attach(new WebSocket(`ws://127.0.0.1:${port}`), 'server')
      return
    }
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => say({ port: server.address().port }))
    server.on('connection', (websocket) => attach(websocket, 'client'))
  })
}

/** Items that are here, whoever wrote them, opened or not. */
const held = (core) => Object.values(core.knownState().sessions).reduce((sum, length) => sum + length, 0)

/** Until so many messages are here, opened and stored. */
async function hold(home, port, wanted) {
  const { node, core } = await open(home)
  if (held(core)) core.getCurrentContent() // as in an application, which shows what it has
  const connected = connect(node, port)
  await new Promise((resolve) => {
    core.subscribe(() => held(core) >= Number(wanted) && resolve())
  })
  const items = Object.values(core.getCurrentContent().items).flat()
  if (items.length !== Number(wanted)) throw new Error(`${items.length} instead of ${wanted}`)
  await node.syncManager.waitForStorageSync(core.id)
  const done = now()
  await pause(500) // the other may still be asking
  const { bytesRead, bytesWritten } = (await connected)._socket
  say({ done, bytes_in: bytesRead, bytes_out: bytesWritten })
  return true
}

async function write(home, port, count, gapMs) {
  const { node, core } = await open(home)
  const stream = core.getCurrentContent()
  await connect(node, port)
  await pause(1_000)
  for (let n = 0; n < count; n++) {
    stream.push(`written at ${now()}`)
    await pause(Number(gapMs))
  }
  return true
}

async function read(home, port, count) {
  const { node, core } = await open(home)
  connect(node, port)
  const took = []
  core.getCurrentContent().subscribe((latest) => {
    const fresh = (Object.values(latest.items)[0] ?? []).slice(took.length)
    for (const { value } of fresh) took.push((now() - Number(value.split(' ').at(-1))) / 1e6)
    if (took.length === Number(count)) say({ took })
  })
  return true
}

await run({ make, fill, hold, write, read })
