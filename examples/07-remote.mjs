// A service and its clients in one program: what RemoteMedia's own service and clients do, this package does on both ends.
import { RemoteExecutionClient, RemoteObjectNode, RemoteProcessingService, WasmEdgeNode } from '@remotemedia/wasmedge'

const module = import.meta.resolve('@remotemedia/wasmedge/modules/gain.wasm')

// Nodes of a service: a function for each item, a generator for a stream, a WebAssembly module.
const gain = new WasmEdgeNode(module, { config: { gain: 2 } })
const service = new RemoteProcessingService({ port: 0 })
  .register('Reverse', ({ data }) => [...data].reverse().join(''))
  .register('RunningTotal', async function* (source) {
    let total = 0
    for await (const { data } of source) yield { total: (total += data.n) }
  })
  .register('Gain', { execute: async (packet) => (await gain.call(packet))[0], category: 'audio', description: 'twice as loud' })
const { port } = await service.listen()
console.log(`serving on port ${port}`)

// A node of it where a node goes: a call for each item.
const reverse = new RemoteObjectNode({ host: '127.0.0.1', port, nodeType: 'Reverse' })
for await (const { sequence, data } of reverse.process(['edge', 'cloud'])) console.log(sequence, data)

// A stream, in which the remote node keeps its state.
const client = await RemoteExecutionClient.connect({ host: '127.0.0.1', port })
for await (const { data } of client.streamNode('RunningTotal', {}, [{ n: 1 }, { n: 2 }, { n: 3 }])) console.log(data)

// Audio goes as numpy would have it, and comes back as audio.
const { data } = await client.executeNode('Gain', {}, { samples: Float32Array.of(0.1, -0.2), sampleRate: 16_000 })
console.log(data)

// Failures are errors, in whichever way the service tells them.
await client.executeNode('Reverse', {}, { no: 'text' }).catch(({ code, message }) => console.log(code, message))
console.log((await client.listNodes()).map(({ nodeType, category }) => `${nodeType} (${category})`))

await client.close()
await reverse.cleanup()
await service.close()
await gain.cleanup()
