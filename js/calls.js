// One question, one answer: how JavaScript waits for what native code answers by ticket.

/**
 * Opens a slot, lets `start(ticket)` give the item to native code, and resolves to the packets that answer it.
 *
 * `start` returns the name of the session that the caller did not name, if there is one. `stop` is called when the signal of `options`
 * aborts first; the promise then rejects with the signal's reason.
 */
function ask(slots, options, start, stop) {
  return new Promise((resolve, reject) => {
    const signal = options?.signal
    let onAbort
    const settle = (done) => (value) => {
      if (onAbort) signal.removeEventListener('abort', onAbort)
      done(value)
    }
    const slot = { sessionId: options?.sessionId, answer: settle(resolve), fail: settle(reject) }
    if (stop && signal instanceof AbortSignal && signal.aborted) return reject(signal.reason)
    const ticket = slots.open(slot)
    try {
      const own = start(ticket)
      slot.sessionId ??= own
    } catch (error) {
      slots.withdraw(ticket)
      return reject(error)
    }
    // Native code has just checked that it is a signal.
    if (!stop || !signal) return
    onAbort = () => {
      stop(ticket)
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Waits for the answer to a ticket that `use` gives to native code. */
function ticketed(slots, sessionId, use) {
  return new Promise((resolve, reject) => {
    const ticket = slots.open({ sessionId, answer: resolve, fail: reject })
    try {
      use(ticket)
    } catch (error) {
      slots.withdraw(ticket)
      reject(error)
    }
  })
}

module.exports = { ask, ticketed }
