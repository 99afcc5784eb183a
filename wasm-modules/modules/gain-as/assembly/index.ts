// Audio gain with clipping to -1..1 in AssemblyScript, on the bare guest ABI.
//
// Config: {"gain": 2} or {"gainDb": 6}, read by searching for the key: there is no JSON in the standard library.
// Nothing is allocated after `initialize`, so the stub runtime, which never frees, is enough. Output goes into the
// result buffer: set the node's outputKind to "audio".

// @ts-ignore: decorator
@external("rm", "config")
declare function rmConfig(out: usize, len: usize): i32
// @ts-ignore: decorator
@external("rm", "fail")
declare function rmFail(text: usize, len: usize): void

const CONFIG_MAX: i32 = 1024
const config: usize = memory.data(CONFIG_MAX)
const configLen: usize = memory.data(4)
let factor: f32 = 1
let kept: usize = 0
let keptLen: i32 = 0

function fail(text: string): i32 {
  const bytes = String.UTF8.encode(text)
  rmFail(changetype<usize>(bytes), bytes.byteLength)
  return -1
}

/** The number after `"key":`, NaN if it is no number; -Infinity if there is no such key. */
function numberOf(json: string, key: string): f64 {
  const quoted = '"' + key + '"'
  const at = json.indexOf(quoted)
  if (at < 0) return -Infinity
  let start = at + quoted.length
  while (json.charAt(start) == " " || json.charAt(start) == ":") start++
  let end = start
  while (end < json.length && json.charAt(end) != "," && json.charAt(end) != "}") end++
  const text = json.substring(start, end).trim()
  const first = text.charCodeAt(0)
  return first == 0x2d || (first >= 0x30 && first <= 0x39) ? parseFloat(text) : NaN
}

export function rm_abi_version(): i32 {
  return 1
}

export function initialize(_sessionId: usize): i32 {
  store<i32>(configLen, CONFIG_MAX)
  if (rmConfig(config, configLen) != 0) return fail("config: longer than 1024 bytes")
  const json = String.UTF8.decodeUnsafe(config, load<i32>(configLen))
  const gain = numberOf(json, "gain")
  const db = numberOf(json, "gainDb")
  if (gain != -Infinity && db != -Infinity) return fail("config.gain: give gain or gainDb, not both")
  if (gain != -Infinity) {
    if (!(gain >= 0)) return fail("config.gain: must be 0 or more")
    factor = <f32>gain
  } else if (db != -Infinity) {
    if (!(db >= -120 && db <= 120)) return fail("config.gainDb: must be between -120 and 120")
    factor = <f32>Math.pow(10, db / 20)
  }
  return 0
}

export function process(data: usize, dataLen: i32, result: usize, resultLen: usize): i32 {
  // The input stays in place until the host comes back with a larger buffer: keep its place, not a result.
  if (dataLen == -1) {
    data = kept
    dataLen = keptLen
  }
  if (dataLen % 4 != 0) {
    store<i32>(resultLen, 0)
    return fail("input is no whole number of 32-bit samples")
  }
  if (dataLen > load<i32>(resultLen)) {
    kept = data
    keptLen = dataLen
    store<i32>(resultLen, dataLen)
    return 1
  }
  const vectors = dataLen & ~15
  const gain = f32x4.splat(factor)
  const top = f32x4.splat(1)
  const bottom = f32x4.splat(-1)
  let at: i32 = 0
  for (; at < vectors; at += 16) {
    const louder = f32x4.mul(v128.load(data + at), gain)
    v128.store(result + at, f32x4.max(f32x4.min(louder, top), bottom))
  }
  for (; at < dataLen; at += 4) {
    store<f32>(result + at, max<f32>(min<f32>(load<f32>(data + at) * factor, 1), -1))
  }
  store<i32>(resultLen, dataLen)
  return 0
}
