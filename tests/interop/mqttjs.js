// MQTT.js against a broker.
//
//     node mqttjs.js list            names the tests, one a line
//     node mqttjs.js PORT NAME       runs one; exit status 0, or a line that says what was wrong
//
// Every wait is for an event: CONNACK, SUBACK, the end of a message's flow, a message.
'use strict'

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { once } = require('node:events')
const mqtt = require('mqtt')

const DEADLINE_MS = 30000
const LARGE = 10 * 1000 * 1000
let port

let count = 0
const unique = word => `js/${word}/${process.pid}/${count++}`

// A client, and the messages that it has not handed out yet.
class Client {
  static async open (version, options = {}) {
    const c = new Client()
    c.version = version
    c.waiting = []
    c.messages = []
    c.mqtt = mqtt.connect({
      host: '127.0.0.1',
      port,
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: version,
      clientId: `js-${process.pid}-${count++}`,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: DEADLINE_MS,
      ...options
    })
    c.mqtt.on('message', (topic, payload, packet) => c.hand({ topic, payload, packet }))
    const [connack] = await once(c.mqtt, 'connect')
    c.sessionPresent = connack.sessionPresent
    return c
  }

  hand (message) {
    const receiver = this.waiting.shift()
    if (receiver) receiver(message)
    else this.messages.push(message)
  }

  receive () {
    const message = this.messages.shift()
    if (message) return Promise.resolve(message)
    return new Promise(resolve => this.waiting.push(resolve))
  }

  // The next messages as [topic, text, QoS, retain].
  async received (number) {
    const result = []
    while (result.length < number) {
      const { topic, payload, packet } = await this.receive()
      result.push([topic, payload.toString(), packet.qos, packet.retain])
    }
    return result
  }

  async subscribe (filter, options = { qos: 2 }) {
    const [granted] = await this.mqtt.subscribeAsync(filter, options)
    return granted.qos
  }

  publish (topic, payload, options = { qos: 1 }) {
    return this.mqtt.publishAsync(topic, payload, options)
  }

  close () {
    return this.mqtt.endAsync()
  }

  // Gone without a DISCONNECT.
  async drop () {
    const closed = once(this.mqtt, 'close')
    this.mqtt.stream.destroy()
    await closed
  }
}

async function qos (version) {
  const topic = unique('qos')
  const publisher = await Client.open(version)
  for (const granted of [0, 1, 2]) {
    const subscriber = await Client.open(version)
    assert.equal(await subscriber.subscribe(topic, { qos: granted }), granted)
    for (const sent of [0, 1, 2]) {
      await publisher.publish(topic, `${sent}`, { qos: sent })
      assert.deepEqual(await subscriber.received(1), [[topic, `${sent}`, Math.min(sent, granted), false]])
    }
    await subscriber.close()
  }
  await publisher.close()
}

async function order (version) {
  const topic = unique('order')
  const texts = Array.from({ length: 300 }, (_, i) => `${i}`)
  const subscriber = await Client.open(version)
  const publisher = await Client.open(version)
  await subscriber.subscribe(topic)
  for (const text of texts) await publisher.publish(topic, text)
  assert.deepEqual((await subscriber.received(texts.length)).map(m => m[1]), texts)
  await publisher.close()
  await subscriber.close()
}

async function retained (version) {
  const topic = unique('retained')
  const publisher = await Client.open(version)
  await publisher.publish(topic, 'old', { qos: 1, retain: true })
  await publisher.publish(topic, 'new', { qos: 1, retain: true })
  const subscriber = await Client.open(version)
  await subscriber.subscribe(`${topic}/#`)
  assert.deepEqual(await subscriber.received(1), [[topic, 'new', 1, true]])
  await publisher.publish(topic, '', { qos: 1, retain: true })
  assert.deepEqual(await subscriber.received(1), [[topic, '', 1, false]])
  await subscriber.close()
  await publisher.close()
}

async function wildcards (version) {
  const topic = unique('wild')
  const c = await Client.open(version)
  await c.subscribe([`${topic}/+/x`, `${topic}/deep/#`])
  for (const name of ['a/x', 'a/y', 'deep', 'deep/1/2', '/x', 'other']) await c.publish(`${topic}/${name}`, '')
  await c.mqtt.unsubscribeAsync(`${topic}/+/x`)
  await c.publish(`${topic}/a/x`, '')
  await c.publish(`${topic}/deep/end`, '')
  const wanted = ['a/x', 'deep', 'deep/1/2', '/x', 'deep/end'].map(name => `${topic}/${name}`)
  assert.deepEqual((await c.received(wanted.length)).map(m => m[0]), wanted)
  await c.close()
}

async function will (version) {
  const topic = unique('will')
  const watcher = await Client.open(version)
  await watcher.subscribe(topic)
  const polite = await Client.open(version, { will: { topic, payload: 'never', qos: 1 } })
  await polite.close()
  const dying = await Client.open(version, { will: { topic, payload: 'last words', qos: 2 } })
  await dying.drop()
  assert.deepEqual(await watcher.received(1), [[topic, 'last words', 2, false]])
  await watcher.close()
}

async function large (version) {
  const topic = unique('large')
  const payload = crypto.randomBytes(LARGE)
  const c = await Client.open(version)
  await c.subscribe(topic)
  for (const qos of [0, 1, 2]) {
    await c.publish(topic, payload, { qos })
    const message = await c.receive()
    assert.equal(message.packet.qos, qos)
    assert.ok(message.payload.equals(payload), 'the same bytes')
  }
  await c.close()
}

async function session (version) {
  const topic = unique('session')
  const keep = { clientId: unique('keeps'), clean: false }
  if (version === 5) keep.properties = { sessionExpiryInterval: 300 }
  const first = await Client.open(version, keep)
  assert.equal(first.sessionPresent, false)
  await first.subscribe(topic)
  await first.drop()
  const publisher = await Client.open(version)
  for (const text of ['1', '2', '3']) await publisher.publish(topic, text)
  const second = await Client.open(version, keep)
  assert.equal(second.sessionPresent, version !== 3) // 3.1 has no such flag
  assert.deepEqual((await second.received(3)).map(m => m[1]), ['1', '2', '3'])
  await second.close()
  const clean = await Client.open(version, { clientId: keep.clientId })
  assert.equal(clean.sessionPresent, false)
  await clean.close()
  await publisher.close()
}

async function takeOver (version) {
  const clientId = unique('taken')
  const first = await Client.open(version, { clientId })
  const closed = once(first.mqtt, 'close')
  const reason = version === 5 ? once(first.mqtt, 'disconnect') : null
  const second = await Client.open(version, { clientId })
  await closed
  if (reason) assert.equal((await reason)[0].reasonCode, 0x8E)
  const topic = unique('take')
  await second.subscribe(topic)
  await second.publish(topic, 'mine')
  assert.deepEqual(await second.received(1), [[topic, 'mine', 1, false]])
  await second.close()
}

async function properties (version) {
  const topic = unique('properties')
  const sent = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 600,
    contentType: 'application/json',
    responseTopic: 'js/answers',
    correlationData: Buffer.from([0, 255]),
    userProperties: { a: ['1', '2'], b: 'ü' }
  }
  const c = await Client.open(version)
  await c.subscribe(topic)
  await c.publish(topic, '{}', { qos: 1, properties: sent })
  const { properties: got } = (await c.receive()).packet
  assert.ok(got.messageExpiryInterval > 590 && got.messageExpiryInterval <= 600)
  got.messageExpiryInterval = 600
  got.userProperties = { ...got.userProperties }
  assert.deepEqual({ ...got }, sent)
  await c.close()
}

async function subscriptionIds (version) {
  const topic = unique('ids')
  const c = await Client.open(version)
  await c.subscribe(`${topic}/#`, { qos: 1, properties: { subscriptionIdentifier: 7 } })
  await c.subscribe(`${topic}/x`, { qos: 1, properties: { subscriptionIdentifier: 268435455 } })
  await c.publish(`${topic}/x`, '')
  let seen = []
  while (seen.length < 2) seen = seen.concat((await c.receive()).packet.properties.subscriptionIdentifier)
  assert.deepEqual(seen.sort((a, b) => a - b), [7, 268435455])
  await c.close()
}

async function subscribeOptions (version) {
  const topic = unique('options')
  const c = await Client.open(version)
  const other = await Client.open(version)
  await other.publish(topic, 'kept', { qos: 1, retain: true })
  await c.subscribe(topic, { qos: 1, nl: true, rap: true, rh: 2 })
  await c.publish(topic, 'own')
  await other.publish(topic, 'other', { qos: 1, retain: true })
  assert.deepEqual(await c.received(1), [[topic, 'other', 1, true]])
  await other.publish(topic, '', { qos: 1, retain: true })
  await c.close()
  await other.close()
}

// The client may use 10 aliases towards the broker, and so may the broker towards the client.
async function topicAlias (version) {
  const topic = unique('alias')
  const subscriber = await Client.open(version, { properties: { topicAliasMaximum: 10 } })
  const publisher = await Client.open(version, { autoUseTopicAlias: true })
  await subscriber.subscribe(topic)
  for (const text of ['1', '2', '3']) await publisher.publish(topic, text)
  assert.deepEqual((await subscriber.received(3)).map(m => m.slice(0, 2)), [[topic, '1'], [topic, '2'], [topic, '3']])
  await publisher.close()
  await subscriber.close()
}

// Each message to one member, and each member gets some.
async function shared (version) {
  const topic = unique('shared')
  const members = [await Client.open(version), await Client.open(version)]
  const got = [0, 0]
  const all = new Promise(resolve => {
    const seen = []
    members.forEach((member, i) => {
      member.hand = message => {
        got[i]++
        if (seen.push(message.payload.toString()) === 40) resolve(seen)
      }
    })
  })
  for (const member of members) await member.subscribe(`$share/group/${topic}`)
  const publisher = await Client.open(version)
  const texts = Array.from({ length: 40 }, (_, i) => `${i}`)
  for (const text of texts) await publisher.publish(topic, text)
  assert.deepEqual((await all).sort((a, b) => a - b), texts)
  assert.ok(got[0] > 0 && got[1] > 0, `${got}`)
  for (const c of [...members, publisher]) await c.close()
}

async function willProperties (version) {
  const topic = unique('willprops')
  const watcher = await Client.open(version)
  await watcher.subscribe(topic)
  const properties = { contentType: 'text/w', userProperties: { k: 'v' }, responseTopic: 'js/answers' }
  const dying = await Client.open(version, { will: { topic, payload: 'w', qos: 1, properties } })
  await dying.drop()
  const { packet } = await watcher.receive()
  assert.equal(packet.properties.contentType, 'text/w')
  assert.equal(packet.properties.responseTopic, 'js/answers')
  assert.deepEqual({ ...packet.properties.userProperties }, { k: 'v' })
  await watcher.close()
}

async function receiveMaximum (version) {
  const topic = unique('receive')
  const texts = Array.from({ length: 100 }, (_, i) => `${i}`)
  const subscriber = await Client.open(version, { properties: { receiveMaximum: 1 } })
  const publisher = await Client.open(version)
  await subscriber.subscribe(topic)
  for (const text of texts) await publisher.publish(topic, text, { qos: 2 })
  assert.deepEqual((await subscriber.received(texts.length)).map(m => m[1]), texts)
  await publisher.close()
  await subscriber.close()
}

const everyVersion = { qos, order, retained, wildcards, will, large, session, takeOver }
const version5 = {
  properties, subscriptionIds, subscribeOptions, topicAlias, shared, willProperties, receiveMaximum
}
const tests = {}
for (const [name, version] of [['3.1', 3], ['3.1.1', 4], ['5', 5]]) {
  for (const [title, run] of Object.entries({ ...everyVersion, ...(version === 5 ? version5 : {}) })) {
    tests[`${name} ${title}`] = () => run(version)
  }
}

function failed (error) {
  console.log(error.stack ?? error)
  process.exit(1)
}

if (process.argv[2] === 'list') {
  console.log(Object.keys(tests).join('\n'))
} else {
  const [, , portText, name] = process.argv
  port = Number(portText)
  const deadline = setTimeout(failed, DEADLINE_MS, `no end after ${DEADLINE_MS} ms`)
  tests[name]().then(() => clearTimeout(deadline), failed)
}
