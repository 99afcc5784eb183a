// What the package gives: classes that native code makes and JavaScript finishes, and functions of native code's alone.

require('./install.js')
const { ServiceRegistry, compileModule, inspectModule, runtimeInfo } = require('./native.js')
const { createError: _, ...errors } = require('./errors.js')
const classes = require('./classes.js')
const { getMetrics, prometheusMetrics, serveMetrics } = require('./metrics.js')
const { Node } = require('./node.js')
const { Pipeline } = require('./pipeline.js')
const { IntelligentRouter } = require('./router.js')
const { configureTracing, flushTracing, shutdownTracing } = require('./tracing.js')
const { openView } = require('./view/index.js')

module.exports = {
  ...classes,
  Node,
  Pipeline,
  IntelligentRouter,
  ServiceRegistry,
  compileModule,
  inspectModule,
  runtimeInfo,
  getMetrics,
  prometheusMetrics,
  serveMetrics,
  configureTracing,
  flushTracing,
  shutdownTracing,
  openView,
  ...errors,
}
