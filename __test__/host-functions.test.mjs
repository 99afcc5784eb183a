// Functions of the application that guests call: answers, failures, deadlines, and many at once.
// The fixture `call_host` gives its input to the function `double` and returns what that answers.

import { describe, expect, test } from 'vitest'
import { collect, deferred, expectError, fixture, guest, MODES, node, rejection, until, within } from './support/index.mjs'

const caller = (double, options) => node(fixture('call_host'), { hostFunctions: { double }, outputKind: 'binary', ...options })
const text = async (made, item = 'ab', options = undefined) => (await made.call(item, options))[0].data.toString()

describe('answers', () => {
  test.each(MODES)('sync and async, bytes and text (%s)', async (mode) => {
    const answers = {
      Buffer: (data) => Buffer.concat([data, data]),
      Uint8Array: (data) => new Uint8Array([...data, ...data]),
      'a view': (data) => Buffer.from(`..${data}${data}`).subarray(2),
      string: (data) => `${data}${data}`,
      'promise of bytes': async (data) => Buffer.concat([data, data]),
      'promise of a string': (data) => Promise.resolve(`${data}${data}`),
      'late promise': (data) => new Promise((resolve) => setTimeout(() => resolve(`${data}${data}`), 5)),
      thenable: (data) => ({ then: (resolve) => resolve(`${data}${data}`) }),
    }
    for (const [name, answer] of Object.entries(answers)) expect(await text(caller(answer, { mode })), name).toBe('abab')
  })

  test('the argument is the guest’s bytes in a Buffer of our own, with the session’s id', async () => {
    const seen = []
    const made = caller((data, info) => {
      seen.push([data, info])
      return data
    })
    await made.call(Uint8Array.of(0, 1, 255), { sessionId: 'sälly' })
    const [data, info] = seen[0]
    expect(Buffer.isBuffer(data)).toBe(true)
    expect([...data]).toEqual([0, 1, 255])
    expect(info).toEqual({ sessionId: 'sälly' })
    data.fill(7)
    expect([...data]).toEqual([7, 7, 7])
  })

  test('empty: no output', async () => {
    expect(await caller(() => '').call('x')).toEqual([])
    expect(await caller(() => new Uint8Array(0)).call('x')).toEqual([])
  })

  test('one that is larger than the buffer: the function is called once all the same', async () => {
    let calls = 0
    const made = caller(() => {
      calls += 1
      return new Uint8Array(100_000).fill(5)
    })
    const [packet] = await made.call('x')
    expect(packet.data).toHaveLength(100_000)
    expect(packet.data.every((byte) => byte === 5)).toBe(true)
    // The guest asks again for the kept answer only with the same request; this one asks with an empty one.
    expect(calls).toBeLessThanOrEqual(2)
  })

  test('one that is larger than maxOutputBytes is refused', async () => {
    const made = caller(() => new Uint8Array(2000), { maxOutputBytes: 1000 })
    expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_HOST_FUNCTION', { sessionId: 's', nodeName: 'call_host' })
    expect(made.metrics().instancesLost).toBe(0)
  })

  test('changing the answer afterwards changes nothing', async () => {
    const answer = Buffer.from('before')
    const made = caller(() => answer)
    const [packet] = await made.call('x')
    answer.write('after!')
    expect(packet.data.toString()).toBe('before')
  })
})

describe('failures', () => {
  const mine = Object.assign(new Error('it broke'), { detail: 42 })
  const ways = {
    throws: () => {
      throw mine
    },
    rejects: async () => {
      throw mine
    },
    'rejects late': () => new Promise((_, reject) => setTimeout(() => reject(mine), 5)),
  }
  for (const mode of MODES) {
    test.each(Object.entries(ways))(
      `a function that %s: ERR_HOST_FUNCTION with the very error as its cause (${mode})`,
      async (_, double) => {
        const made = caller(double, { mode })
        const error = await rejection(made.call('x', { sessionId: 's' }))
        expectError(error, 'ERR_HOST_FUNCTION', { nodeName: 'call_host', sessionId: 's', stateLost: undefined })
        expect(error.cause).toBe(mine)
        expect(error.message).toContain('double')
        expect(error.message).toContain('it broke')
        // The guest only said no; its session goes on.
        expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_HOST_FUNCTION')
        expect(made.metrics()).toMatchObject({ instancesCreated: 1, instancesLost: 0, errors: { ERR_HOST_FUNCTION: 2 } })
      },
    )
  }

  test.each([['text'], [5], [{ code: 1 }], [undefined], [null], [Symbol('x')]])('throwing %o', async (value) => {
    for (const double of [
      () => {
        throw value
      },
      () => Promise.reject(value),
    ]) {
      const error = await rejection(caller(double).call('x'))
      expectError(error, 'ERR_HOST_FUNCTION')
      if (typeof value === 'object' && value !== null) expect(error.cause).toBe(value)
      if (['string', 'number'].includes(typeof value)) expect(error.message).toContain(String(value))
    }
  })

  test('a thrown error whose message throws', async () => {
    const nasty = {
      get message() {
        throw new Error('twice')
      },
    }
    expectError(
      await rejection(
        caller(() => {
          throw nasty
        }).call('x'),
      ),
      'ERR_HOST_FUNCTION',
    )
  })

  test.each([[undefined], [null], [5], [true], [{}], [[1, 2]], [new Float32Array(2)], [Symbol('x')], [() => {}], [5n]])(
    'returning %o',
    async (value) => {
      for (const double of [() => value, async () => value]) {
        const error = await rejection(caller(double).call('x'))
        expectError(error, 'ERR_HOST_FUNCTION')
        expect(error.message).toContain('double')
      }
    },
  )

  test('a thenable whose then throws, or that answers twice', async () => {
    const bad = {
      get then() {
        throw mine
      },
    }
    expectError(await rejection(within(caller(() => bad).call('x'))), 'ERR_HOST_FUNCTION')
    const twice = {
      then(resolve, reject) {
        resolve('first')
        resolve('second')
        reject(mine)
      },
    }
    expect(await text(caller(() => twice))).toBe('first')
  })

  test('a name that is not registered: the guest hears it', async () => {
    const made = node(fixture('call_host'), { hostFunctions: { halve: (data) => data } })
    const error = await rejection(made.call('x'))
    expectError(error, 'ERR_GUEST')
    expect(made.metrics().instancesLost).toBe(0)
  })

  test('names of Object.prototype are not registered', async () => {
    const renamed = Buffer.from((await import('node:fs')).readFileSync(fixture('call_host')))
    renamed.write('valueO', renamed.indexOf('double'))
    expectError(await rejection(node(renamed, { hostFunctions: {} }).call('x')), 'ERR_GUEST')
  })

  test('without the option the module does not load', async () => {
    const error = await rejection(node(fixture('call_host')).initialize())
    expectError(error, 'ERR_IMPORT_DENIED')
    expect(error.message).toContain('rm.call_host')
    expect(error.message).toContain('hostFunctions')
  })
})

describe.each(MODES)('deadlines (%s)', (mode) => {
  test('a function that never answers', async () => {
    const gate = deferred()
    const made = caller(() => gate.promise, { mode, timeoutMs: 80 })
    await made.initialize()
    const since = performance.now()
    expectError(await rejection(made.call('x', { sessionId: 's' })), 'ERR_WASM_TIMEOUT', { sessionId: 's', stateLost: true })
    expect(performance.now() - since).toBeLessThan(2000)
    // The late answer finds nobody, and the session’s next item works.
    gate.resolve('late')
    expect(await text(made, 'x', { sessionId: 's' })).toBe('late')
  })

  test('an abort ends the wait', async () => {
    let entered = 0
    const made = caller(
      () => {
        entered += 1
        return new Promise(() => {})
      },
      { mode },
    )
    const controller = new AbortController()
    const waiting = collect(made.process(['x'], { signal: controller.signal }))
    await until(() => entered === 1)
    controller.abort('enough')
    expect(await rejection(within(waiting))).toBe('enough')
    await until(() => made.metrics().instancesLive === 0)
  })

  test('cleanup ends the wait', async () => {
    let entered = 0
    const made = caller(
      () => {
        entered += 1
        return new Promise(() => {})
      },
      { mode },
    )
    const waiting = made.call('x')
    await until(() => entered === 1)
    const [error] = await within(Promise.all([rejection(waiting), made.cleanup()]))
    expectError(error, 'ERR_CLOSED')
  })
})

describe('many at once', () => {
  test('waiting guests do not take the processors: 100 sessions wait for one answer', async () => {
    const gate = deferred()
    let entered = 0
    const made = caller(async (data) => {
      entered += 1
      await gate.promise
      return data
    })
    const answers = Array.from({ length: 100 }, (_, i) => text(made, `n${i}`, { sessionId: `s${i}` }))
    await until(() => entered === 100)
    // Meanwhile others are served.
    expect((await node(guest('echo'), { outputKind: 'text' }).call('x'))[0].data).toBe('x')
    gate.resolve()
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 100 }, (_, i) => `n${i}`))
  })

  test('thousands of calls, each with its own answer', async () => {
    const made = caller((data, info) => `${info.sessionId}:${data}`)
    const answers = await Promise.all(Array.from({ length: 3000 }, (_, i) => text(made, String(i), { sessionId: `s${i % 20}` })))
    answers.forEach((answer, i) => expect(answer).toBe(`s${i % 20}:${i}`))
  })

  test('a function that itself awaits another session of the node, three deep', async () => {
    const made = caller(async (data, info) => {
      const depth = Number(info.sessionId)
      return depth === 3 ? `[${data}]` : `(${await text(made, data, { sessionId: String(depth + 1) })})`
    })
    expect(await within(text(made, 'x', { sessionId: '0' }))).toBe('((([x])))')
  })

  test('re-entrancy from more sessions at once than there are processors', async () => {
    const made = caller(async (data, info) =>
      info.sessionId.startsWith('inner') ? data : text(made, data, { sessionId: `inner ${info.sessionId}` }),
    )
    const answers = await within(Promise.all(Array.from({ length: 40 }, (_, i) => text(made, `x${i}`, { sessionId: `s${i}` }))))
    expect(answers).toEqual(Array.from({ length: 40 }, (_, i) => `x${i}`))
  })

  test('a function that waits for its own session times out, and nothing else suffers', async () => {
    const made = caller((data, info) => (info.sessionId === 's' ? text(made, data, { sessionId: 's' }) : data), { timeoutMs: 150 })
    const [stuck, fine] = await within(
      Promise.all([rejection(made.call('x', { sessionId: 's' })), text(made, 'y', { sessionId: 'other' })]),
    )
    expectError(stuck, 'ERR_WASM_TIMEOUT', { sessionId: 's' })
    expect(fine).toBe('y')
  })

  test('closing a session inside its own function does not hang the function', async () => {
    const made = caller(async (data, info) => {
      made.closeSession(info.sessionId)
      return data
    })
    expect(await within(text(made, 'x', { sessionId: 's' }))).toBe('x')
    await until(() => made.metrics().instancesLive === 0)
  })
})
