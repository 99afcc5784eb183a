// How many bytes an item has, as the router counts them: those of its payload. Cheap, for it is asked for each item.

/** Bytes of a payload or a packet; of JSON an estimate, for writing it out would cost more than the pipeline does. */
function bytesOf(item) {
  const data = isPacket(item) ? item.data : item
  return payloadBytes(data)
}

const isPacket = (item) => isObject(item) && item.data !== undefined && item.dtype === undefined
const isObject = (value) => typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)

function payloadBytes(data) {
  if (typeof data === 'string') return Buffer.byteLength(data)
  if (ArrayBuffer.isView(data)) return data.byteLength
  if (!isObject(data)) return data === undefined ? 0 : String(data).length
  for (const key of ['samples', 'data', 'pixels']) if (ArrayBuffer.isView(data[key])) return data[key].byteLength
  return estimate(data, { values: 200 })
}

/** Counts the first few hundred values. */
function estimate(value, left) {
  if (left.values-- <= 0) return 0
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 4
  let sum = 2
  for (const key in value) {
    if (left.values <= 0) break
    sum += key.length + 4 + estimate(value[key], left)
  }
  return sum
}

module.exports = { bytesOf }
