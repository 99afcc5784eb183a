// Problem: a remote node needs somebody who answers, with a real model, on one machine and with nothing else installed.
// Answer: a RemoteMedia service with one node, `VoiceActivityDetector`, which is Silero VAD on ONNX Runtime.
//
//   node examples/cloud/server.mjs [--host 127.0.0.1] [--port 50052] [--version v6]
//
// It says `listening HOST:PORT` once it answers (--port 0 takes a free one), and stops on SIGINT or SIGTERM, or when the program that forked
// it is gone; start.mjs does that.

import { parseArgs } from 'node:util'
import { RemoteProcessingService } from '@remotemedia/wasmedge'
import { DEFAULT_VERSION, VERSIONS, preload } from './silero.mjs'
import { voiceActivityDetector } from './voice-activity-detector.mjs'

function refuse(message) {
  console.error(`server: ${message}`)
  process.exit(2)
}

function options() {
  try {
    return parseArgs({
      options: {
        host: { type: 'string', default: '127.0.0.1' },
        port: { type: 'string', default: '50052' },
        version: { type: 'string', default: DEFAULT_VERSION },
      },
    }).values
  } catch (error) {
    return refuse(error.message)
  }
}

const { host, port: asked, version } = options()
const port = Number(asked)
if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) refuse(`--port must be from 0 to 65535, got ${asked}`)
if (!VERSIONS.includes(version)) refuse(`--version must be one of ${VERSIONS.join(', ')}, got ${version}`)

await preload(version)
const service = new RemoteProcessingService({ host, port }).register('VoiceActivityDetector', voiceActivityDetector({ version }))
const bound = await service.listen()
console.log(`listening ${host}:${bound.port}`)

for (const end of ['SIGINT', 'SIGTERM', 'disconnect']) process.once(end, () => service.close())
// The channel to whoever forked it would keep it alive.
process.channel?.unref()
