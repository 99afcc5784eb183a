// The live view's web server: this machine only, a random token in the URL, a fixed list of files, and server-sent events.

const { randomBytes, timingSafeEqual } = require('node:crypto')
const { readFileSync } = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { refused } = require('../node.js')

const HOST = '127.0.0.1'
const CLIENTS = 32
/** Bytes that may wait for one client before it is dropped as too slow. */
const BACKLOG = 4 << 20

const SCRIPT = 'text/javascript; charset=utf-8'
/** All that is served, by its name in the URL: nothing of a request ever becomes part of a path on disk. */
const ASSETS = new Map([
  ['style.css', 'text/css; charset=utf-8'],
  ['page.css', 'text/css; charset=utf-8'],
  ['icon.svg', 'image/svg+xml'],
  ...['app', 'charts', 'dom', 'flow', 'format', 'graph', 'layout', 'panels', 'routing', 'tables'].map((name) => [`${name}.mjs`, SCRIPT]),
])

const SECURITY = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

const page = (name) => readFileSync(path.join(__dirname, 'page', name))

function same(given, wanted) {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}

class ViewServer {
  #token = randomBytes(24).toString('base64url')
  #server
  #clients = new Set()
  #hello
  #hosts
  #closed = false

  /** `hello` gives the first event for a client that has just come. */
  constructor(hello) {
    this.#hello = hello
    this.#server = http.createServer({ maxHeaderSize: 16 << 10, requestTimeout: 30_000 }, (request, response) =>
      this.#answer(request, response),
    )
  }

  /** Begins to listen; resolves to the URL. */
  async listen(port = 0) {
    if (!Number.isInteger(port) || port < 0 || port > 65_535)
      throw refused('ui.port', `must be a port from 0 to 65535, got ${String(port)}`)
    await new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(this.#cannot(error, port)))
      this.#server.listen(port, HOST, resolve)
    })
    const bound = this.#server.address().port
    this.#hosts = new Set([`${HOST}:${bound}`, `localhost:${bound}`])
    // A browser leaves the port of http out.
    if (bound === 80) this.#hosts.add(HOST).add('localhost')
    return `http://${HOST}:${bound}/?token=${this.#token}`
  }

  get clients() {
    return this.#clients.size
  }

  /** Tells all clients; one that cannot keep up is dropped, and comes back by itself. */
  send(event, data) {
    if (this.#clients.size === 0) return
    const text = message(event, data)
    for (const client of this.#clients) {
      if (client.writableLength > BACKLOG) client.destroy()
      else client.write(text)
    }
  }

  /** Tells the clients that this was all, and ends. */
  async close(event, data) {
    if (this.#closed) return
    this.#closed = true
    const text = message(event, data)
    for (const client of this.#clients) client.end(text)
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeIdleConnections()
    // Whoever has not read the end by then never will.
    const last = setTimeout(() => this.#server.closeAllConnections(), 500)
    await closed
    clearTimeout(last)
  }

  #cannot(error, port) {
    if (error.code === 'EADDRINUSE')
      return refused('ui.port', `port ${port} is in use on ${HOST}; take another one, or 0 for any that is free`)
    if (error.code === 'EACCES') return refused('ui.port', `port ${port} needs rights that this process does not have`)
    return refused('ui.port', `cannot listen on ${HOST}:${port}: ${error.message}`)
  }

  #answer(request, response) {
    const refuse = (status, text, headers) => {
      response.writeHead(status, { ...SECURITY, 'content-type': 'text/plain; charset=utf-8', ...headers })
      response.end(request.method === 'HEAD' ? undefined : `${text}\n`)
    }
    // A page of another site that made its own name point here comes with its own name.
    if (!this.#hosts.has(request.headers.host)) return refuse(403, 'Wrong host.')
    if (this.#closed) return refuse(503, 'Closed.')
    const asked = readUrl(request.url)
    if (!asked || !same(asked.token, this.#token)) return refuse(403, 'The token is missing or wrong: open the whole URL that was printed.')
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'Only GET.', { allow: 'GET, HEAD' })
    if (asked.name === 'events') return this.#stream(request, response, refuse)
    const asset = asked.name === '' ? { type: 'text/html; charset=utf-8', body: this.#page() } : file(asked.name)
    if (!asset) return refuse(404, 'No such file.')
    response.writeHead(200, { ...SECURITY, 'content-type': asset.type, 'content-length': asset.body.length })
    response.end(request.method === 'HEAD' ? undefined : asset.body)
  }

  /** The page; its files lie below the token, so that they are refused without it as well. */
  #page() {
    return Buffer.from(page('index.html').toString().replaceAll('{base}', `/${this.#token}`))
  }

  #stream(request, response, refuse) {
    if (request.method !== 'GET') return refuse(405, 'Only GET.', { allow: 'GET' })
    if (this.#clients.size >= CLIENTS) return refuse(503, 'Too many pages are open.')
    response.writeHead(200, { ...SECURITY, 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
    response.on('error', () => {})
    response.on('close', () => this.#clients.delete(response))
    request.socket.setNoDelay(true)
    response.write(`retry: 1000\n${message('hello', this.#hello())}`)
    this.#clients.add(response)
  }
}

/** The token and what was asked for: `/?token=…` is the page, `/TOKEN/name` a file. */
function readUrl(text) {
  const [pathname, query = ''] = text.split('?', 2)
  if (pathname === '/') return { token: new URLSearchParams(query).get('token') ?? '', name: '' }
  const parts = pathname.split('/')
  return parts.length === 3 && parts[0] === '' ? { token: parts[1], name: parts[2] || 'index.html' } : undefined
}

function file(name) {
  const type = ASSETS.get(name)
  return type && { type, body: page(name) }
}

/** JSON has no line ends of its own, so one line holds it. */
const message = (event, data) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

module.exports = { ViewServer }
