// `run`: one input through a pipeline, once.

const { flow, tell, OPTIONS } = require('../flow.js')
const inputs = require('../input.js')
const { formatOf } = require('../output.js')
const { UsageError } = require('../problems.js')
const telemetry = require('../telemetry.js')
const views = require('../view.js')

module.exports = {
  name: 'run',
  summary: 'run a pipeline or a module over a file',
  usage: 'PIPELINE.yaml|MODULE.wasm [-i FILE] [-O FILE]',
  about:
    'Runs a manifest, or a single module, over a file that is read piece by piece, and writes what comes out. Formats go by extension, ' +
    'then by how the input starts: WAV, raw samples, JSON lines, text (an item a line), bytes.',
  arguments: [1, 1],
  files: true,
  options: {
    input: { type: 'string', short: 'i', value: 'FILE', about: 'what to read, - for standard input (-)' },
    output: {
      type: 'string',
      short: 'O',
      value: 'FILE',
      about: 'what to write, by extension: .jsonl .wav .txt .bin, - for standard output (-)',
    },
    ...inputs.OPTIONS,
    ...OPTIONS,
    ...views.OPTIONS,
    ...telemetry.OPTIONS,
  },
  notes: [
    'A module of this package goes by its public name, @remotemedia/wasmedge/modules/NAME.wasm.',
    'Ctrl-C ends the reading; what was read is finished and written, and the exit code is 130. A second one ends at once.',
  ],
  examples: [
    'run pipeline.yaml -i talk.wav -O events.jsonl',
    'run @remotemedia/wasmedge/modules/denoise.wasm -i talk.wav -O clean.wav --params \'{"wasi": {"random": true}}\'',
    `run pipeline.yaml -i talk.wav --params '{"vad": {"config": {"threshold": 0.7}}}'`,
  ],
  async execute({ values, positionals: [target] }, { stopping }) {
    const files = { target, input: values.input ?? '-', output: values.output ?? '-' }
    if (values.json && files.output === '-' && formatOf('-', values['output-format']) !== 'jsonl') {
      throw new UsageError('--json needs standard output for itself: write the packets to a file with -O, or as jsonl')
    }
    return tell(await flow(files, values, { stopping }), values, stopping, target)
  },
}
