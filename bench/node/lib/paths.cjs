'use strict'
const path = require('node:path')

const root = path.join(__dirname, '..', '..', '..')
const target = path.join(root, 'target', 'bench')

module.exports = {
  root,
  /** Everything that a run makes and nobody keeps. */
  target,
  audio: path.join(target, 'speech-16k.f32'),
  extismGuest: path.join(target, 'bytesum-extism.wasm'),
  cache: path.join(target, 'cache'),
  guest: (name) => path.join(root, 'wasm-modules', 'dist', `${name}.wasm`),
}
