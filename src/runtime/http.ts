/**
 * The parts of `node:http` that this repository uses. An `import` reads every export of a module, and some of this one's load
 * another HTTP client and WebSockets when they are read. That takes longer than the rest of a start of Node.js.
 */
export const { Agent, createServer, get, request } = process.getBuiltinModule('node:http')
