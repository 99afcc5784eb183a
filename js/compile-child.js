// The compiler's process: the engine starts it with an input, an output and a flag.

process.exit(require('./native.js').compileChild(process.argv.slice(2)))
