// Under which keys our own nodes say what they are to each other.

/** How native code finds the native half of something that is made of nodes. */
const NATIVE = Symbol('native')

/** What a node is in a manifest. */
const SPEC = Symbol('spec')

module.exports = { NATIVE, SPEC }
