// Problem: what goes wrong on a command line should take one line to say, for people, and one object, for programs.
// Answer: `UsageError` for what was typed wrongly (exit code 2), `Refused` for what was found wrong (exit code 1), and `about(error)`, which
// makes code, message and path of any error, the package's own and the system's. It prints nothing.

/** The command was typed wrongly. */
class UsageError extends Error {
  code = 'ERR_USAGE'
}

/** A file or an answer is not what it should be. */
class Refused extends Error {
  constructor(message, code = 'ERR_INPUT', fields = {}) {
    super(message)
    Object.assign(this, { code, ...fields })
  }
}

/** Whoever read standard output is gone; nobody needs to hear of it. */
class BrokenPipe extends Error {
  code = 'EPIPE'
}

const REASONS = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is no folder',
  ENOSPC: 'no space is left',
  EROFS: 'the file system is read-only',
}

/** An error of the file system as a sentence that starts with what was tried. */
function fileError(what, error) {
  return new Refused(`${what}: ${REASONS[error.code] ?? error.message}`, error.code ?? 'ERR_INPUT', { cause: error })
}

const FIELDS = ['path', 'nodeName', 'sessionId', 'retryable', 'trap', 'grpcStatus']

/** What programs are told. */
function about(error) {
  const own = { code: error?.code ?? 'ERR_INTERNAL', message: String(error?.message ?? error) }
  for (const field of FIELDS) if (error?.[field] !== undefined) own[field] = error[field]
  return own
}

/** What people are told: one line. */
function sentence(error) {
  const { code, message, nodeName } = about(error)
  const line = message.replace(/\s*\n\s*/g, ' ')
  const where = nodeName && !line.includes(nodeName) ? `${nodeName}: ` : ''
  return code === 'ERR_USAGE' ? line : `${where}${line} (${code})`
}

/** How many letters differ, a swap of neighbours counting once. */
function distance(a, b) {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array(b.length).fill(0)])
  for (let j = 1; j <= b.length; j += 1) rows[0][j] = j
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1)
    }
  }
  return rows[a.length][b.length]
}

/** The name that was probably meant, if one is near enough. */
function nearest(word, names) {
  let best
  for (const name of names) {
    const off = name.startsWith(word) && word.length > 1 ? 1 : distance(word, name)
    if (off <= Math.max(1, Math.floor(name.length / 3)) && (best === undefined || off < best.off)) best = { name, off }
  }
  return best?.name
}

module.exports = { UsageError, Refused, BrokenPipe, fileError, about, sentence, nearest }
