import type { Matrix } from './imports.ts'

const values = 'addresses, prefixes and ports are values'
const kinds = 'kinds are shapes'
const decisions = 'it carries out what was decided'
const loop = 'clocks, logs and the loop are the same in every process'
const client = 'it talks to the API server'
const tested = 'a support of tests builds what the tests drive'

/** Which room may import which, and why. Nothing of src imports a test or the benchmark: they are in no row. */
export const rooms: Matrix = {
  'src/net': {},
  'src/api': { 'src/net': values },
  'src/decide': { 'src/net': values, 'src/api': 'policies and nodes are what is decided about' },
  'src/runtime': {},
  'src/kube': { 'src/net': values, 'src/api': kinds, 'src/runtime': loop },
  'src/linux': { 'src/net': values },
  'src/datapath': { 'src/net': values, 'src/linux': 'programs are attached to devices' },
  'src/install': {
    'src/net': values,
    'src/api': 'an install brings the definitions of the kinds',
    'src/decide': 'a setting has the values that decisions know',
  },
  'src/operator': {
    'src/net': values,
    'src/api': kinds,
    'src/decide': decisions,
    'src/runtime': loop,
    'src/kube': client,
    'src/install': 'its settings and the name of its Lease',
  },
  'src/agent': {
    'src/net': values,
    'src/api': kinds,
    'src/decide': decisions,
    'src/runtime': loop,
    'src/kube': client,
    'src/linux': 'it configures its node',
    'src/datapath': 'it loads and fills the tables',
    'src/install': 'its settings',
    'src/agent/api': 'it serves its own interface',
    'src/cni': 'it puts the plugin on its node',
  },
  /* Started for each pod: it asks the agent over a socket and knows nothing of it. */
  'src/cni': {},
  'src/cli': {
    'src/net': values,
    'src/api': kinds,
    'src/runtime': loop,
    'src/kube': client,
    'src/linux': 'preflight looks at the node',
    'src/datapath': 'preflight asks what the kernel can do',
    'src/install': 'it installs',
    'src/agent/api': 'it asks the agent, and never becomes one',
  },
  'src/lab': {
    'src/net': values,
    'src/api': kinds,
    'src/runtime': loop,
    'src/kube': 'its controllers and kubelets talk to an API server, too',
  },
  'src/agent/api': {
    'src/net': values,
    'src/decide': 'views show decisions',
    'src/datapath': 'views show tables',
    'src/agent': 'views show what the agent knows',
    'src/api': kinds,
    'src/install': 'views show settings',
    'src/runtime': loop,
    'src/kube': client,
    'src/linux': 'views show the node',
  },
  test: { src: tested },
}
