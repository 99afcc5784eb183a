// Where in a trace JavaScript is, as `@opentelemetry/api` knows it. Without that package nothing here does anything.
//
// All copies of the package share one object under one symbol; what is used of it are its own interfaces (`context`, `propagation`), and no
// copy need be found for that.

const API = Symbol.for('opentelemetry.js.api.1')
const setter = { set: (carrier, key, value) => void (carrier[key] = value) }
const getter = { get: (carrier, key) => carrier[key], keys: (carrier) => Object.keys(carrier) }

/** Hook: the `traceparent` of what is active, if anything is. */
function activeTrace() {
  const { context, propagation } = globalThis[API] ?? {}
  if (!context || !propagation) return undefined
  const carrier = {}
  propagation.inject(context.active(), carrier, setter)
  return carrier.traceparent
}

/** Runs `work` as a part of the trace that `traceparent` names. */
function within(traceparent, work) {
  const { context, propagation } = globalThis[API] ?? {}
  if (!traceparent || !context || !propagation) return work()
  return context.with(propagation.extract(context.active(), { traceparent }, getter), work)
}

module.exports = { API, activeTrace, within }
