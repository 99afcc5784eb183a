#!/usr/bin/env node
// The command `remotemedia-wasmedge`; what it does is in js/cli/.

require('../js/cli/main.js').run(process.argv.slice(2))
