// Problem: whoever runs a pipeline may want its traces and figures in the tools that they have, and nobody else should notice.
// Answer: `--otlp` and `--metrics`, or OpenTelemetry's own environment, around the whole command; what was recorded is sent before it ends,
// and a collector that is away is a warning, never the command's failure.

const targets = require('./target.js')
const { integer } = require('./options.js')
const { warn } = require('./terminal.js')

const OPTIONS = {
  otlp: { type: 'string', value: 'URL', about: 'send traces and metrics to this OpenTelemetry collector (OTEL_EXPORTER_OTLP_ENDPOINT)' },
  metrics: {
    type: 'string',
    value: 'PORT',
    optional: /^\d+$/,
    about: 'serve metrics for Prometheus at http://127.0.0.1:PORT/metrics (port: 9464)',
  },
}

/** Begins what was asked for; what ends it. */
async function begin({ otlp, metrics }) {
  const port = metrics === undefined || metrics === '' ? undefined : integer(metrics, 'metrics', 0, 65_535)
  const endpoint = otlp ?? process.env.OTEL_EXPORTER_OTLP_ENDPOINT
  if (!endpoint && metrics === undefined) return async () => {}
  const { configureTracing, serveMetrics, shutdownTracing } = targets.api()
  if (endpoint) configureTracing({ otlpEndpoint: endpoint })
  const served = metrics === undefined ? undefined : await serveMetrics({ port })
  if (served) process.stderr.write(`metrics: ${served.url}\n`)
  return async () => {
    await served?.close()
    if (endpoint) await shutdownTracing().catch((error) => warn(`not all traces and metrics were sent to ${endpoint}: ${error.message}`))
  }
}

module.exports = { OPTIONS, begin }
