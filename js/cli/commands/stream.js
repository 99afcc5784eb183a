// `stream`: standard input through a pipeline to standard output, for as long as there is any.

const { flow, tell, OPTIONS } = require('../flow.js')
const inputs = require('../input.js')
const { formatOf } = require('../output.js')
const { UsageError } = require('../problems.js')
const telemetry = require('../telemetry.js')
const views = require('../view.js')

module.exports = {
  name: 'stream',
  summary: 'run a pipeline from standard input to standard output',
  usage: 'PIPELINE.yaml|MODULE.wasm',
  about:
    'Reads standard input as it comes, line by line (JSON, text) or in pieces (WAV, raw samples, bytes), and writes each packet as soon as it ' +
    'is there. Reads no faster than the pipeline works and the output is taken. An item that fails does not end it.',
  arguments: [1, 1],
  files: true,
  options: { ...inputs.OPTIONS, ...OPTIONS, ...views.OPTIONS, ...telemetry.OPTIONS },
  notes: ['--on-error is emit here: a line with the error takes the place of what failed; with throw, the first one ends the stream.'],
  examples: [
    'stream pipeline.yaml < talk.wav',
    'stream @remotemedia/wasmedge/modules/vad.wasm --input-format raw --rate 16000 --output-format text',
  ],
  async execute({ values, positionals: [target] }, { stopping }) {
    if (values.json && formatOf('-', values['output-format']) !== 'jsonl') {
      throw new UsageError('--json needs packets on standard output to be jsonl')
    }
    const figures = await flow({ target, input: '-', output: '-' }, values, { stopping, linewise: true, onError: 'emit' })
    return tell(figures, values, stopping, target)
  },
}
