// Trees of elements as plain objects, made into a page's elements or into text. Text is escaped in both, so that no name can become markup.

const SVG = 'http://www.w3.org/2000/svg'

/** An element: `h('p', { class: 'quiet' }, 'text', child)`. Attributes and children that are null, undefined or false are left out. */
export const h = (name, attributes, ...children) => ({ name, attributes: attributes ?? {}, children: children.flat(4) })

const there = (value) => value !== null && value !== undefined && value !== false

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
/** Characters that XML and HTML cannot hold become the sign for that. */
const clean = (text) =>
  String(text)
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/g, '\ufffd')
    .toWellFormed()
export const escaped = (text) => clean(text).replace(/[&<>"']/g, (sign) => ENTITIES[sign])

const VOID = new Set(['meta', 'br', 'link', 'input', 'hr', 'col'])

/** The tree as HTML text. */
export function toMarkup(tree) {
  if (!there(tree)) return ''
  if (typeof tree !== 'object') return escaped(tree)
  const { name, attributes, children } = tree
  const written = Object.entries(attributes).filter(([, value]) => there(value))
  const pairs = written.map(([key, value]) => (value === true ? ` ${key}` : ` ${key}="${escaped(value)}"`)).join('')
  const start = `<${name}${pairs}>`
  return VOID.has(name) ? start : `${start}${children.map(toMarkup).join('')}</${name}>`
}

/** The tree as elements of the page. */
export function toDom(tree, inSvg = false) {
  if (typeof tree !== 'object') return document.createTextNode(clean(tree))
  const svg = inSvg || tree.name === 'svg'
  const element = svg ? document.createElementNS(SVG, tree.name) : document.createElement(tree.name)
  for (const [key, value] of Object.entries(tree.attributes))
    if (there(value)) element.setAttribute(key, value === true ? '' : clean(value))
  for (const child of tree.children) if (there(child)) element.append(toDom(child, svg))
  return element
}

/** Shows the trees in the element, in place of what was there; does nothing when they say what is there already. */
export function show(element, ...trees) {
  const wanted = trees.flat(4).filter(there)
  const key = JSON.stringify(wanted)
  if (shown.get(element) === key) return false
  shown.set(element, key)
  element.replaceChildren(...wanted.map((tree) => toDom(tree)))
  return true
}
const shown = new WeakMap()
