'use strict'
// What a piscina worker does: the same guest, on V8's WebAssembly. One instance per worker thread.

const { workerData } = require('piscina')
const { V8Guest } = require('./v8-guest.cjs')

const guest = new V8Guest(workerData.guest, workerData.config)

/** The bytes of the first output. */
const first = (data) => guest.process(data)[0].bytes
/** How many outputs there were. */
const count = (data) => guest.process(data).length

module.exports = Object.assign(first, { first, count })
