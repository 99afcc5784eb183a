// A pipeline out of a manifest, with a node that may run here or on a remote, and back into YAML.
import { Pipeline, RemoteProcessingService } from '@remotemedia/wasmedge'

const shout = async function* shout(stream) {
  for await (const { data } of stream) yield `${data}!`
}
const service = new RemoteProcessingService({ port: 0 }).register('Shout', ({ data }) => `${data}! (from afar)`)
const { port } = await service.listen()

const manifest = (placement) => `
version: v1
metadata: {name: shouting}
nodes:
  - {id: words, node_type: Words}
  - {id: loud, node_type: Shout, host: "127.0.0.1:${port}", execution: {placement: ${placement}}}
connections: [{from: words, to: loud}]
`
const nodes = {
  Shout: () => shout,
  Words: () =>
    async function* words(stream) {
      for await (const { data } of stream) yield* data.split(' ')
    },
}
for (const placement of ['local', 'remote', 'prefer_remote']) {
  const pipeline = Pipeline.fromManifest(manifest(placement), { nodes })
  for (const { data, sequence, route } of await pipeline.run(['hello edge', 'and cloud']))
    console.log(placement, sequence, data, route?.target ?? '')
  if (placement === 'local') console.log(pipeline.toManifest({ format: 'yaml' }))
  await pipeline.cleanup()
}
await service.close({ graceMs: 1 })

// Mistakes are told by their place before anything runs.
try {
  Pipeline.fromManifest(manifest('local').replace('{from: words, to: loud}', '{from: words, to: loud}, {from: loud, to: words}'), { nodes })
} catch (error) {
  console.log(error.code, error.message)
}
