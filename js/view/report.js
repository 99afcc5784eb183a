// The report of a run: one HTML file that needs nothing else, neither a network nor scripts. It appears whole or not at all.

const { randomBytes } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { open, rename, unlink } = require('node:fs/promises')
const os = require('node:os')
const path = require('node:path')
const native = require('../native.js')
const { refused } = require('../node.js')

const WIDTH = 1000
const css = (name) => readFileSync(path.join(__dirname, 'page', name), 'utf8')

/** Machine and versions, as pairs. */
function machine() {
  const { version } = require('../../package.json')
  const [cpu] = os.cpus()
  const pairs = [
    ['Package', `@remotemedia/wasmedge ${version}`],
    ['Node.js', process.version],
    ['System', `${os.type()} ${os.release()}, ${process.arch}`],
    ['Processors', `${os.availableParallelism()} of ${cpu?.model?.trim() || 'an unknown model'}`],
    ['Memory', `${(os.totalmem() / 2 ** 30).toFixed(1)} GiB`],
  ]
  try {
    const { engine, wasmedgeVersion } = native.runtimeInfo()
    pairs.splice(1, 0, ['Engine', `${engine} ${wasmedgeVersion}`])
  } catch {
    // The rest is worth telling by itself.
  }
  return pairs
}

/** The modules that draw, the same as the page's. */
async function drawing() {
  const names = ['charts', 'dom', 'format', 'graph', 'layout', 'panels', 'routing', 'tables']
  const loaded = await Promise.all(names.map((name) => import(`./page/${name}.mjs`)))
  return Object.assign({}, ...loaded)
}

/** The whole report as HTML. */
async function reportHtml(data) {
  const draw = await drawing()
  const { h } = draw
  const { parts } = await import('./page/sections.mjs')
  const body = parts(data, WIDTH, machine())
  const head = h(
    'head',
    {},
    h('meta', { charset: 'utf-8' }),
    h('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
    h('meta', { name: 'color-scheme', content: 'light dark' }),
    h('meta', {
      'http-equiv': 'content-security-policy',
      content: "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    }),
    h('title', {}, `Report: ${data.name}`),
  )
  // The style sheets are the package's own text; everything else is escaped.
  const styled = draw.toMarkup(head).replace('</head>', () => `<style>\n${css('style.css')}\n${css('report.css')}</style></head>`)
  return `<!doctype html>\n<html lang="en">${styled}\n<body>${body.map(draw.toMarkup).join('\n')}</body></html>\n`
}

/** Writes the report beside its place and then moves it there. */
async function writeReport(file, data) {
  const html = await reportHtml(data)
  const beside = path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(6).toString('hex')}.part`)
  try {
    const handle = await open(beside, 'wx', 0o644)
    try {
      await handle.writeFile(html)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(beside, file)
  } catch (error) {
    await unlink(beside).catch(() => {})
    throw refused('report', `cannot write ${file}: ${error.message}`)
  }
}

module.exports = { reportHtml, writeReport }
