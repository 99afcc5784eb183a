// A collector: takes OTLP by HTTP and by gRPC, as protobuf, and gives it as plain objects.
//
// Of OTLP's messages only the fields that are looked at; protobuf skips the others.

import http from 'node:http'
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'
import protobuf from 'protobufjs'

const { root } = protobuf.parse(
  `syntax = "proto3";
  message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message Scope { string name = 1; string version = 2; }
  message Event { fixed64 time_unix_nano = 1; string name = 2; }
  message Status { string message = 2; int32 code = 3; }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind = 6; fixed64 start = 7; fixed64 end = 8;
    repeated KeyValue attributes = 9; repeated Event events = 11; Status status = 15; fixed32 flags = 16;
  }
  message ScopeSpans { Scope scope = 1; repeated Span spans = 2; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Traces { repeated ResourceSpans resource_spans = 1; }
  message Point { fixed64 start = 2; fixed64 time = 3; double as_double = 4; sfixed64 as_int = 6; repeated KeyValue attributes = 7; }
  message Points { repeated Point data_points = 1; int32 temporality = 2; bool monotonic = 3; }
  message Times {
    repeated KeyValue attributes = 9; fixed64 count = 4; double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;
  }
  message Histogram { repeated Times data_points = 1; int32 temporality = 2; }
  message Metric { string name = 1; string description = 2; string unit = 3; Points gauge = 5; Points sum = 7; Histogram histogram = 9; }
  message ScopeMetrics { Scope scope = 1; repeated Metric metrics = 2; }
  message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; }
  message Metrics { repeated ResourceMetrics resource_metrics = 1; }
  message Answer {}
  service TraceService { rpc Export (Traces) returns (Answer); }
  service MetricsService { rpc Export (Metrics) returns (Answer); }`,
  { keepCase: false },
)
const plain = { longs: String, bytes: Buffer, defaults: true, arrays: true, oneofs: false }

const attributes = (pairs) =>
  Object.fromEntries(
    pairs.map(({ key, value }) => {
      const number = value.intValue ?? value.doubleValue
      return [key, value.stringValue ?? value.boolValue ?? (number === undefined ? undefined : Number(number))]
    }),
  )

/** Without defaults, so that of an attribute's values only the one that is there is there. */
const read = (type, bytes) => root.lookupType(type).toObject(root.lookupType(type).decode(bytes), { ...plain, defaults: false })

class Collector {
  /** All spans so far: ids in hex, times as BigInt of nanoseconds. */
  spans = []
  /** The figures that came last, by name. */
  metrics = new Map()
  resources = []
  requests = []
  /** Statuses of HTTP to answer with before any is taken. */
  refusals = []

  take(path, headers, bytes) {
    this.requests.push({ path, headers })
    if (path.endsWith('traces') || path.includes('TraceService')) {
      for (const { resource, scopeSpans = [] } of read('Traces', bytes).resourceSpans ?? []) {
        this.resources.push(attributes(resource.attributes))
        for (const span of scopeSpans.flatMap(({ spans }) => spans ?? [])) this.spans.push(described(span))
      }
      return
    }
    for (const { scopeMetrics = [] } of read('Metrics', bytes).resourceMetrics ?? []) {
      for (const metric of scopeMetrics.flatMap(({ metrics }) => metrics ?? [])) this.metrics.set(metric.name, metric)
    }
  }

  /** The spans of a trace as `name` or `name > [children]`, in the order in which they began. */
  tree(traceId, parent = '') {
    const children = this.spans.filter((span) => span.traceId === traceId && span.parentId === parent)
    children.sort((one, other) => Number(one.start - other.start))
    return children.map(({ name, spanId }) => {
      const below = this.tree(traceId, spanId)
      return below.length === 0 ? name : { [name]: below }
    })
  }

  named(name) {
    return this.spans.filter((span) => span.name === name)
  }
}

const described = (span) => ({
  traceId: span.traceId.toString('hex'),
  spanId: span.spanId.toString('hex'),
  parentId: span.parentSpanId?.toString('hex') ?? '',
  name: span.name,
  kind: ['', 'internal', 'server', 'client'][span.kind],
  start: BigInt(span.start),
  end: BigInt(span.end),
  attributes: attributes(span.attributes ?? []),
  events: (span.events ?? []).map(({ name }) => name),
  status: span.status,
})

/** A collector that takes POSTs. */
export async function collectHttp() {
  const collector = new Collector()
  const server = http.createServer((request, response) => {
    const parts = []
    request.on('data', (part) => parts.push(part))
    request.on('end', () => {
      const refusal = collector.refusals.shift()
      if (refusal) return response.writeHead(refusal).end('no')
      collector.take(request.url, request.headers, Buffer.concat(parts))
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  collector.port = server.address().port
  collector.url = `http://127.0.0.1:${collector.port}`
  collector.close = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  }
  return collector
}

/** A collector that takes gRPC. */
export async function collectGrpc() {
  const collector = new Collector()
  const server = new grpc.Server()
  const definitions = loader.fromJSON(root.toJSON())
  for (const [name, path] of [
    ['TraceService', 'trace'],
    ['MetricsService', 'metrics'],
  ]) {
    const full = `/opentelemetry.proto.collector.${path}.v1.${name}/Export`
    const definition = { Export: { ...definitions[name].Export, path: full, requestDeserialize: (bytes) => bytes } }
    server.addService(definition, {
      Export: ({ request, metadata }, answer) => {
        collector.take(full, metadata.getMap(), request)
        answer(null, {})
      },
    })
  }
  collector.port = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port))),
  )
  collector.url = `http://127.0.0.1:${collector.port}`
  collector.close = async () => server.forceShutdown()
  return collector
}
