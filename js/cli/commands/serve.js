// `serve`: a pipeline or a module as a node of a RemoteMedia service, until a signal comes; then calls under way are finished.

const fs = require('node:fs')
const targets = require('../target.js')
const telemetry = require('../telemetry.js')
const views = require('../view.js')
const { UsageError, fileError } = require('../problems.js')
const { duration, integer } = require('../options.js')
const { warn } = require('../terminal.js')

/** The token: the text itself, or `env` and `env:NAME` for what a variable holds, which no list of processes shows. */
function token(text) {
  const name = /^env(?::(\w+))?$/.exec(text)
  if (!name) return text
  const variable = name[1] ?? 'RM_TOKEN'
  if (!process.env[variable]) throw new UsageError(`--token ${text}: the environment variable ${variable} is not set`)
  return process.env[variable]
}

function pem(file, option) {
  try {
    return fs.readFileSync(file)
  } catch (error) {
    throw fileError(`--${option}: cannot read ${file}`, error)
  }
}

function serviceOptions(values) {
  if (Boolean(values.cert) !== Boolean(values.key)) throw new UsageError('--cert and --key go together')
  return {
    host: values.host ?? '127.0.0.1',
    port: integer(values.port ?? '50052', 'port', 0, 65_535),
    ...(values.token !== undefined && { authToken: token(values.token) }),
    ...(values.cert && { tls: { cert: pem(values.cert, 'cert'), key: pem(values.key, 'key') } }),
  }
}

const isLoopback = (host) => /^(127\.|::1$|localhost$)/.test(host)

module.exports = {
  name: 'serve',
  summary: 'offer a pipeline or a module as a RemoteMedia service',
  usage: 'PIPELINE.yaml|MODULE.wasm',
  about: 'Serves RemoteMedia’s gRPC protocol v0, health and reflection. Each session of a client is a session of the pipeline.',
  arguments: [1, 1],
  files: true,
  options: {
    host: { type: 'string', value: 'HOST', about: 'address to listen on (127.0.0.1: this machine only)' },
    port: { type: 'string', short: 'p', value: 'PORT', about: 'port to listen on, 0 for a free one (50052)' },
    'node-type': { type: 'string', value: 'NAME', about: 'node type that clients ask for (the name of the pipeline or module)' },
    token: { type: 'string', value: 'TOKEN', about: 'clients must send this bearer token; env: that in RM_TOKEN, env:NAME: in NAME' },
    cert: { type: 'string', value: 'FILE', about: 'certificate for TLS, PEM; needs --key' },
    key: { type: 'string', value: 'FILE', about: 'its key, PEM' },
    grace: { type: 'string', value: 'TIME', about: 'how long calls under way may take after a signal (10s)' },
    ...targets.OPTIONS,
    ...views.OPTIONS,
    ...telemetry.OPTIONS,
    json: { type: 'boolean', about: 'print the address as one line of JSON' },
  },
  notes: ['SIGTERM and Ctrl-C turn new calls away, finish those under way and end: exit code 0 after SIGTERM, 130 after Ctrl-C.'],
  examples: [
    'serve @remotemedia/wasmedge/modules/vad.wasm --port 50052 --node-type VAD',
    'serve pipeline.yaml --host 0.0.0.0 --token env:VAD_TOKEN --cert cert.pem --key key.pem',
  ],
  async execute({ values, positionals: [target] }, { stopping }) {
    const options = serviceOptions(values)
    const viewOptions = views.read(values)
    const graceMs = duration(values.grace ?? '10s', 'grace')
    const { pipeline, name, warnings } = targets.open(target, targets.read(values))
    for (const { message } of warnings) warn(`${target}: ${message}`)
    const nodeType = values['node-type'] ?? name
    const { RemoteProcessingService } = targets.api()
    const service = new RemoteProcessingService(options)
    let view
    stopping.handles()
    try {
      await pipeline.initialize()
      view = await views.open(pipeline, name, viewOptions)
      const run = views.watched(pipeline, view)
      // The client's trace goes on in the pipeline, and is no entry of what it answers.
      service.register(nodeType, { process: (source, { traceparent, ...options }) => run(source, { ...options, partOf: traceparent }) })
      const { host, port } = await service.listen()
      if (!isLoopback(options.host) && !options.authToken) warn(`everybody who reaches ${host}:${port} may use it: give a --token`)
      if (options.authToken && !options.tls && !isLoopback(options.host)) warn('the token travels in the clear: give --cert and --key')
      const shown = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
      process.stdout.write(
        values.json ? `${JSON.stringify({ host, port, nodeType })}\n` : `serving ${nodeType} at ${shown} (gRPC, protocol v0)\n`,
      )
      // Its sockets are native code's: something of JavaScript's has to keep the process.
      const alive = setInterval(() => {}, 1 << 30)
      await stopping.requested()
      clearInterval(alive)
    } finally {
      await service.close({ graceMs })
      await view?.close()
      await pipeline.cleanup()
    }
    return stopping.signal === 'SIGTERM' ? 0 : stopping.exitCode(0)
  },
}
