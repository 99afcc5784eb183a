// Figures as people read them.

const trimmed = (value, digits) => value.toLocaleString('en', { maximumFractionDigits: digits, useGrouping: true })
const known = (value) => typeof value === 'number' && Number.isFinite(value)

/** 1,234 · 12.3k · 4.56M */
export function count(value) {
  if (!known(value)) return '–'
  if (Math.abs(value) < 10_000) return trimmed(value, 0)
  if (Math.abs(value) < 1e6) return `${trimmed(value / 1e3, value < 1e5 ? 1 : 0)}k`
  return `${trimmed(value / 1e6, value < 1e8 ? 1 : 0)}M`
}

/** As `count`, with a digit after the point for small ones. */
export const rate = (value) => (known(value) ? (value < 10 ? trimmed(value, 1) : count(value)) : '–')

export function bytes(value) {
  if (!known(value)) return '–'
  let [left, unit] = [value, 0]
  while (left >= 1024 && unit < 4) {
    left /= 1024
    unit++
  }
  return `${trimmed(left, left < 10 && unit > 0 ? 1 : 0)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`
}

export function ms(value) {
  if (!known(value)) return '–'
  if (value >= 10_000) return `${trimmed(value / 1e3, 0)} s`
  if (value >= 1000) return `${trimmed(value / 1e3, 2)} s`
  return `${trimmed(value, value < 1 ? 2 : value < 100 ? 1 : 0)} ms`
}

export const percent = (share) => {
  if (!known(share)) return '–'
  const value = share * 100
  return `${trimmed(value, value > 0 && value < 10 ? 1 : 0)}%`
}

/** Time since the start: 0:07, 12:34, 1:02:03. */
export function clock(milliseconds) {
  if (!known(milliseconds)) return '–'
  const all = Math.max(0, Math.floor(milliseconds / 1000))
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60]
  const two = (value) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`
}

/** The same with tenths, where a second is too coarse. */
export const clockTenths = (milliseconds) => (known(milliseconds) ? `${clock(milliseconds)}.${Math.floor(milliseconds / 100) % 10}` : '–')

export const ago = (milliseconds) =>
  milliseconds < 1500 ? 'now' : milliseconds < 90_000 ? `${Math.round(milliseconds / 1000)} s ago` : `${clock(milliseconds)} ago`

export const cut = (text, length) => (text.length > length ? `${text.slice(0, Math.max(1, length - 1))}…` : text)
