// A pipeline out of a manifest, RemoteMedia's description of one (version v1): a graph with two ends, a node of the application, and one
// that may run on a remote. Then back into YAML.
import { IntelligentRouter, Pipeline, RemoteProcessingService } from '@remotemedia/wasmedge'

const service = new RemoteProcessingService({ port: 0 }).register('Title', ({ data }) => `${data.toUpperCase()} (made in the cloud)`)
const { port } = await service.listen()

const manifest = `
version: v1
metadata: { name: headlines }
nodes:
  - { id: trim, node_type: Trim }
  - id: words
    node_type: WasmEdgeNode
    params: { module: "@remotemedia/wasmedge/modules/tokenize.wasm", config: { mode: words } }
  - id: title
    node_type: Title
    params: { mark: "!" }
    host: 127.0.0.1:${port}
    execution: { placement: prefer_remote, reason: "the cloud's titles are better" }
connections:
  - { from: trim, to: words }
  - { from: trim, to: title }
`

// What makes nodes of the types that only this application knows.
const nodes = {
  Trim: () =>
    async function* trim(source) {
      for await (const { data } of source) yield data.trim()
    },
  Title: ({ mark }) =>
    async function* title(source) {
      for await (const { data } of source) yield `${data}${mark} (made here)`
    },
}

const pipeline = Pipeline.fromManifest(manifest, { nodes })
console.log(
  pipeline.name,
  pipeline.metrics().nodes.map(({ name }) => name),
)
// Known here and on a host, and with a preference: the node is a router over both.
console.log('title is a router:', pipeline.getNode('title') instanceof IntelligentRouter)

for await (const { sequence, metadata, data, route } of pipeline.process(['  the edge of the world ', ' clouds ahead'])) {
  const result = metadata.node === 'words' ? `${data.count} words` : data
  console.log(`#${sequence} by ${metadata.node}: ${result}`, route ? `[${route.target}: ${route.reason}]` : '')
}

await service.close({ graceMs: 1 })
for (const packet of await pipeline.run(['without the cloud'])) if (packet.metadata.node === 'title') console.log(packet.data)

// What is wrong is said before anything runs, by its place.
try {
  Pipeline.fromManifest(manifest.replace('from: trim, to: title', 'from: trim, to: subtitle'), { nodes })
} catch ({ code, message }) {
  console.log(code, message)
}

console.log(pipeline.toManifest({ format: 'yaml' }))
await pipeline.cleanup()
