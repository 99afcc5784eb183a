// The error classes. Native code decides which class, code and fields an error has; real subclasses of Error are JavaScript's to make.

/** Base of all errors of this package. */
class RemoteMediaError extends Error {
  constructor(message, fields = {}) {
    const { cause, ...rest } = fields
    super(message, cause === undefined ? undefined : { cause })
    Object.assign(this, rest)
  }
}

/** A node or its guest failed. */
class NodeError extends RemoteMediaError {}
/** A pipeline failed. */
class PipelineError extends RemoteMediaError {}
/** The remote side failed or cannot be reached. */
class RemoteExecutionError extends RemoteMediaError {}
/** A payload cannot be converted. */
class SerializationError extends RemoteMediaError {}
/** An option or argument is wrong; `path` names it. */
class ConfigurationError extends RemoteMediaError {}

const classes = { RemoteMediaError, NodeError, PipelineError, RemoteExecutionError, SerializationError, ConfigurationError }
for (const [name, Class] of Object.entries(classes)) {
  Object.defineProperty(Class.prototype, 'name', { value: name, writable: true, configurable: true })
}

/** Hook: makes the error that native code describes. */
function createError(className, code, message, retryable, nodeName, sessionId, path, trap, stateLost, cause, remote) {
  const fields = { code, retryable, nodeName, sessionId, cause, ...remote }
  if (path !== undefined) fields.path = path
  if (trap !== undefined) fields.trap = trap
  if (stateLost) fields.stateLost = true
  return new classes[className](message, fields)
}

module.exports = { ...classes, createError }
