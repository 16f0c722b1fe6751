// What every peer's program shares: what it says to whoever started it, and what it was given.
import { readFileSync } from 'node:fs'

export const now = () => Number(process.hrtime.bigint()) // ns of the monotonic clock, as in bench/embedded.py

export function say(what) {
  process.stdout.write(JSON.stringify({ at: now(), ...what }) + '\n')
}

export const texts = (path) => JSON.parse(readFileSync(path, 'utf8'))

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Runs the role that the command line names; one that stays ends with standard input. */
export async function run(roles) {
  const [role, ...given] = process.argv.slice(2)
  process.stdin.on('end', () => process.exit(0)).resume()
  if (!(await roles[role](...given))) process.exit(0)
}
