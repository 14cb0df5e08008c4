// server.mjs PORT OPTIONS.json: an Aedes broker on loopback.
import { Aedes } from 'aedes'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

const [port, file] = process.argv.slice(2)
const { broker, server } = JSON.parse(readFileSync(file))
const aedes = await Aedes.createBroker(broker)
createServer(server, aedes.handle).listen(Number(port), '127.0.0.1')
