// RemoteMedia's manifests: pipelines out of them, and back into them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { api, DIST, expectError, guest, rejection, thrown } from './support/index.mjs'

const { IntelligentRouter, Pipeline, RemoteObjectNode, RemotePipelineNode, RemoteProcessingService, WasmEdgeNode } = api

const nodes = {
  Pass: () =>
    async function* pass(source) {
      for await (const packet of source) yield packet
    },
  Shout: ({ mark = '!' }) =>
    async function* shout(source) {
      for await (const packet of source) yield `${packet.data}${mark}`
    },
}
const make = (manifest, options = { nodes }) => {
  const made = Pipeline.fromManifest(manifest, options)
  onTestFinished(() => made.cleanup())
  return made
}
const one = (node, rest = {}) => ({ version: 'v1', metadata: {}, nodes: [{ id: 'n', ...node }], connections: [], ...rest })
const texts = async (pipeline, items = ['a']) => (await pipeline.run(items)).map((packet) => packet.data)

const DIAMOND = `
version: v1
metadata: {name: diamond}
nodes:
  - {id: in, node_type: Pass}
  - {id: loud, node_type: Shout, params: {mark: "!!"}}
  - {id: quiet, node_type: Shout, params: {mark: "?"}}
  - {id: out, node_type: Pass}
connections: [{from: in, to: loud}, {from: in, to: quiet}, {from: loud, to: out}, {from: quiet, to: out}]
`

describe('a manifest becomes a pipeline', () => {
  test('in YAML, in JSON, as an object, as a path and as a URL', async () => {
    const yaml = 'version: v1\nmetadata: {name: x}\nnodes: [{id: n, node_type: Shout}]\nconnections: []\n'
    const object = { version: 'v1', metadata: { name: 'x' }, nodes: [{ id: 'n', node_type: 'Shout' }], connections: [] }
    const folder = mkdtempSync(path.join(tmpdir(), 'manifest-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const file = path.join(folder, 'x.yaml')
    writeFileSync(file, yaml)
    for (const source of [yaml, JSON.stringify(object), object, file, pathToFileURL(file)]) {
      const made = make(source)
      expect(made.name).toBe('x')
      expect(await texts(made)).toEqual(['a!'])
    }
  })

  test('a graph: each packet goes down every branch, and the branches come together', async () => {
    const made = make(DIAMOND)
    const packets = await made.run(['a', 'b'])
    expect(packets.map((packet) => packet.data).sort()).toEqual(['a!!', 'a?', 'b!!', 'b?'])
    for (const mark of ['!!', '?']) {
      const branch = packets.filter((packet) => packet.data.endsWith(mark))
      expect(branch.map((packet) => packet.sequence)).toEqual([0, 1])
    }
    expect(made.metrics().nodes.map((node) => node.name)).toEqual(['in', 'loud', 'quiet', 'out'])
    expect(made.getNode('loud')).toBeTypeOf('function')
  })

  test('several ends say which one a packet left by; output nodes let theirs out as well', async () => {
    const ends = make(DIAMOND.replace(', {from: loud, to: out}', ''))
    expect((await ends.run(['a'])).map((packet) => [packet.metadata.node, packet.data]).sort()).toEqual([
      ['loud', 'a!!'],
      ['out', 'a?'],
    ])
    const inner = make(DIAMOND.replace('node_type: Shout, params: {mark: "?"}}', 'node_type: Shout, is_output_node: true}'))
    expect((await inner.run(['a'])).map((packet) => packet.metadata.node).sort()).toEqual(['out', 'out', 'quiet'])
  })

  test('modules are found beside the manifest, and in this package', async () => {
    const audio = { samples: new Float32Array(4).fill(0.1), sampleRate: 16_000 }
    for (const [module, baseDir] of [
      ['gain.wasm', DIST],
      ['@remotemedia/wasmedge/modules/gain.wasm', undefined],
      [guest('gain'), undefined],
    ]) {
      const made = make(one({ node_type: 'WasmEdgeNode', params: { module, config: { gain: 2 } } }), { baseDir })
      const [packet] = await made.run([audio])
      expect(packet.data.samples[0]).toBeCloseTo(0.2)
    }
  })

  test('a router in a manifest', async () => {
    const params = { edge: { node_type: 'Shout' }, cloud: { node_type: 'Pass' }, strategy: 'edge-first' }
    const [packet] = await make(one({ node_type: 'IntelligentRouter', params })).run(['a'])
    expect([packet.data, packet.route.target]).toEqual(['a!', 'edge'])
  })

  test('placement: here, on a remote, or a router over both', async () => {
    const service = new RemoteProcessingService({ port: 0 }).register('Shout', (packet) => `${packet.data} from afar`)
    onTestFinished(() => service.close({ graceMs: 1 }))
    const { port } = await service.listen()
    const there = `127.0.0.1:${port}`
    const run = async (placement, options = { nodes }, host = there) => {
      const made = make(one({ node_type: 'Shout', ...(host && { host }), ...(placement && { execution: { placement } }) }), options)
      return (await made.run(['a'])).map((packet) => [packet.data, packet.route?.target])[0]
    }
    expect(await run()).toEqual(['a!', undefined])
    expect(await run('local')).toEqual(['a!', undefined])
    expect(await run('remote')).toEqual(['a from afar', undefined])
    expect(await run('prefer_local')).toEqual(['a!', 'edge'])
    expect(await run('prefer_remote')).toEqual(['a from afar', 'cloud'])
    expect(await run('auto')).toEqual(['a!', 'edge'])
    // Known on one side only, that is where it runs.
    expect(await run('prefer_local', {})).toEqual(['a from afar', undefined])
    expect(await run('prefer_remote', { nodes }, null)).toEqual(['a!', undefined])
    const remote = { host: '127.0.0.1', port }
    expect(await run('remote', { nodes, remote }, null)).toEqual(['a from afar', undefined])
  })
})

describe('what is wrong with a manifest is said before anything runs', () => {
  test.each([
    ['a cycle', DIAMOND.replace('{from: loud, to: out}', '{from: out, to: in}'), 'connections', /in -> quiet -> out -> in/],
    ['an unknown node', one({ node_type: 'Nope' }), 'nodes.0.node_type', /'Nope'.*known here: Pass, Shout, WasmEdgeNode/],
    ['an unknown end', DIAMOND.replace('to: quiet', 'to: nobody'), 'connections.1.to', /nobody/],
    ['another version', one({ node_type: 'Pass' }, { version: 'v2' }), 'version', /v1/],
    ['no nodes', { version: 'v1', metadata: {}, nodes: [], connections: [] }, 'nodes', /./],
    ['a node twice', DIAMOND.replace('id: quiet', 'id: loud'), 'nodes.2.id', /loud/],
    [
      'a wrong option of a node',
      one({ node_type: 'WasmEdgeNode', params: { module: 'x.wasm', pool: { max: 0 } } }),
      'nodes.0.params.pool.max',
      /8192/,
    ],
    ['no module', one({ node_type: 'WasmEdgeNode' }), 'nodes.0.params.module', /path/],
    ['a router without sides', one({ node_type: 'IntelligentRouter' }), 'nodes.0.params.edge', /given/],
    [
      'a side that is unknown',
      one({ node_type: 'IntelligentRouter', params: { edge: { node_type: 'No' } } }),
      'nodes.0.params.edge.node_type',
      /'No'/,
    ],
    ['a placement without a remote', one({ node_type: 'Pass', execution: { placement: 'remote' } }), 'nodes.0.host', /options.remote/],
    ['a placement that there is not', one({ node_type: 'Pass', execution: { placement: 'moon' } }), 'nodes.0.execution.placement', /moon/],
    [
      'two transports',
      one({ node_type: 'RemotePipelineNode', params: { transport: 'http', endpoint: 'a:1' } }),
      'nodes.0.params.transport',
      /grpc/,
    ],
    ['text that is no YAML', 'version: v1\n  nodes: [', 'manifest', /line/],
    ['a file that is not there', '/not/there.yaml', 'manifest', /not\/there/],
    ['a number', 7, 'manifest', /7/],
  ])('%s', (_, manifest, where, says) => {
    const error = expectError(
      thrown(() => Pipeline.fromManifest(manifest, { nodes })),
      'ERR_CONFIG',
      { path: where },
    )
    expect(error.message).toMatch(says)
  })

  test('connections that can carry nothing', () => {
    const media = (side, type) => ({ media_capabilities: { [side]: { default: { type } } } })
    const manifest = {
      version: 'v1',
      metadata: {},
      nodes: [
        { id: 'words', node_type: 'Pass', ...media('outputs', 'text') },
        { id: 'ears', node_type: 'Pass', ...media('inputs', 'audio') },
      ],
      connections: [{ from: 'words', to: 'ears' }],
    }
    const error = expectError(
      thrown(() => Pipeline.fromManifest(manifest, { nodes })),
      'ERR_CONFIG',
      { path: 'connections.0' },
    )
    expect(error.message).toMatch(/words.*text|text.*words/)
  })
})

describe('a pipeline becomes a manifest', () => {
  test('what was read is written, unknown keys included', () => {
    const made = make(DIAMOND.replace('metadata: {name: diamond}', 'metadata: {name: diamond, team: audio}\nplugins: [a]'))
    expect(made.toManifest()).toMatchObject({ version: 'v1', metadata: { name: 'diamond', team: 'audio' }, plugins: ['a'] })
    expect(make(made.toManifest({ format: 'yaml' })).toManifest()).toEqual(made.toManifest())
    expect(JSON.parse(made.toManifest({ format: 'json' }))).toEqual(made.toManifest())
    expectError(
      thrown(() => made.toManifest({ format: 'xml' })),
      'ERR_CONFIG',
      { path: 'format' },
    )
  })

  test('a chain of nodes is written so that it can be read, without its secrets', () => {
    const made = new Pipeline(
      [
        new WasmEdgeNode(guest('gain'), { name: 'gain', config: { gain: 2 } }),
        new WasmEdgeNode(guest('gain'), { name: 'gain' }),
        new IntelligentRouter({
          edge: new WasmEdgeNode(guest('vad')),
          cloud: new RemoteObjectNode({ host: 'gpu', port: 50052, nodeType: 'Vad', authToken: 'secret' }),
          strategy: 'hybrid',
        }),
        new RemotePipelineNode({ endpoint: 'gpu:50051', manifest: one({ node_type: 'Whisper' }), auth_token: 'secret2' }),
      ],
      { name: 'mine' },
    )
    const manifest = made.toManifest()
    expect(manifest.nodes.map((node) => [node.id, node.node_type])).toEqual([
      ['gain', 'WasmEdgeNode'],
      ['gain-2', 'WasmEdgeNode'],
      ['router', 'IntelligentRouter'],
      ['remote pipeline', 'RemotePipelineNode'],
    ])
    expect(manifest.connections[0]).toEqual({ from: 'gain', to: 'gain-2' })
    expect(JSON.stringify(manifest)).not.toContain('secret')
    expect(make(manifest, {}).toManifest()).toEqual(manifest)
  })

  test('a module given as bytes cannot be written', () => {
    const made = new Pipeline([new WasmEdgeNode(new Uint8Array(8))])
    expectError(
      thrown(() => made.toManifest()),
      'ERR_CONFIG',
      { path: 'nodes.0.params.module' },
    )
  })
})

describe('RemotePipelineNode', () => {
  test('its parameters are checked like those in a manifest', () => {
    const manifest = one({ node_type: 'Whisper' })
    for (const [params, where] of [
      [{ manifest }, 'params.endpoint'],
      [{ endpoint: 'a:1' }, 'params.manifest'],
      [{ endpoint: 'a:1', manifest, timeout_ms: -1 }, 'params.timeout_ms'],
      [{ endpoint: 'a:1', manifest: { ...manifest, nodes: [] } }, 'params.manifest.nodes'],
      [{ endpoint: 'a:1', manifest_url: 'http://x' }, 'params.manifest_url'],
    ]) {
      expectError(
        thrown(() => new RemotePipelineNode(params)),
        'ERR_CONFIG',
        { path: where },
      )
    }
  })

  test('it needs a remote that speaks protocol v1', async () => {
    const service = new RemoteProcessingService({ port: 0 }).register('Shout', (packet) => packet.data)
    onTestFinished(() => service.close({ graceMs: 1 }))
    const { port } = await service.listen()
    const remote = new RemotePipelineNode({
      endpoint: `127.0.0.1:${port}`,
      manifest: one({ node_type: 'Shout' }),
      retry: { max_retries: 0 },
    })
    onTestFinished(() => remote.cleanup())
    const error = await rejection(remote.call('x'))
    expect(['ERR_REMOTE', 'ERR_CONFIG', 'ERR_UNAVAILABLE']).toContain(error.code)
  })
})
