// Problem: how good a detector is can only be said against what people heard.
// Answer: reads a folder of recordings with hand labels: `NAME.wav` and beside it `NAME.scv` with one line,
// `name,start,end,label,start,end,label,...` in seconds, 1 for speech. Labels are given per frame of 16 ms, by what holds at its middle.
//
// The recordings are not part of this repository. The format is that of the TEN VAD test set.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readWav } from '../support/wav.mjs'

export const FRAME_MS = 16
export const RATE = 16_000
/** Samples in a frame. */
export const FRAME = (RATE * FRAME_MS) / 1000

/** A folder that cannot be used; the message is for people. */
export class ClipsError extends Error {}

/** Labels of `frames` frames; undefined where nobody said anything. */
export function parseLabels(text, frames) {
  const [, ...fields] = text.trim().split(',')
  const numbers = fields.map(Number)
  if (fields.length === 0 || fields.length % 3 !== 0 || numbers.some(Number.isNaN)) {
    throw new ClipsError('must hold name,start,end,label,start,end,label,...')
  }
  const labels = new Array(frames).fill(undefined)
  for (let at = 0; at < numbers.length; at += 3) {
    const [start, end, label] = numbers.slice(at, at + 3)
    if (!(start >= 0 && end >= start && (label === 0 || label === 1))) throw new ClipsError(`cannot hold ${start},${end},${label}`)
    // The first and last frames whose middles are in the segment.
    const first = Math.ceil((start * 1000) / FRAME_MS - 0.5)
    for (let frame = first; (frame + 0.5) * FRAME_MS < end * 1000 && frame < frames; frame += 1) labels[frame] = label
  }
  return labels
}

/** All clips of a folder: `{ name, samples, frames, labels }`. */
export function readClips(folder) {
  if (!folder) {
    throw new ClipsError('labelled speech is needed: name a folder of NAME.wav and NAME.scv, as an argument or in RM_SPEECH_DIR')
  }
  if (!existsSync(folder)) throw new ClipsError(`there is no folder ${folder}`)
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.scv'))
    .sort()
  if (files.length === 0) throw new ClipsError(`${folder} holds no labels: NAME.scv beside each NAME.wav`)
  return files.map((file) => {
    const name = basename(file, '.scv')
    const { samples, sampleRate, channels } = readWav(join(folder, `${name}.wav`))
    if (sampleRate !== RATE || channels !== 1)
      throw new ClipsError(`${name}.wav must be ${RATE} Hz mono, is ${sampleRate} Hz, ${channels} channels`)
    const frames = Math.floor(samples.length / FRAME)
    try {
      return { name, samples, frames, labels: parseLabels(readFileSync(join(folder, file), 'utf8'), frames) }
    } catch (error) {
      if (error instanceof ClipsError) error.message = `${join(folder, file)} ${error.message}`
      throw error
    }
  })
}
