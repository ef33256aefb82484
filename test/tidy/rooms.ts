import type { Matrix } from './imports.ts'

const values = 'addresses, prefixes and ports are values'
const kinds = 'kinds are shapes'
const decisions = 'it carries out what was decided'
const loop = 'clocks, logs and the loop are the same in every process'
const client = 'it talks to the API server'
const subjects = 'policies and nodes are what is decided about'
const world = 'the world and the tables are what every decision reads and fills'
const tested = 'a support of tests builds what the tests drive'

/** Which room may import which, and why. Nothing of src imports a test or the benchmark: they are in no row. */
export const rooms: Matrix = {
  'src/net': {},
  'src/api': { 'src/net': values },
  /* In the folder itself: the world, the tables, and resolve, which asks every room for its part of them. */
  'src/decide': {
    'src/net': values,
    'src/api': subjects,
    'src/decide/policies': 'resolve needs the valid policies and the rules of each pod',
    'src/decide/gateways': 'resolve needs the gateways of each policy, and the order for each egress IP',
    'src/decide/ports': 'the context holds the nodes by slot',
    'src/decide/pools': 'the tables hold the addresses of pools',
    'src/decide/status': 'resolve records what it refused',
  },
  'src/decide/policies': {
    'src/net': values,
    'src/api': subjects,
    'src/decide': world,
    'src/decide/gateways':
      'a pod’s rules name the gateways that are open to it, and a policy may name only usable addresses',
    'src/decide/pools': 'a policy’s addresses can come from an egress pool',
    'src/decide/status': 'an overlap of two policies is a condition of the later one',
  },
  'src/decide/gateways': {
    'src/net': values,
    'src/api': subjects,
    'src/decide': world,
    'src/decide/policies': 'a gateway is a node that a policy selects',
    'src/decide/ports': 'the table of an egress IP says who owns each port',
    'src/decide/pools': 'a pool’s addresses are given to gateways',
    'src/decide/status': 'a dead gateway is a condition of its policy',
  },
  'src/decide/ports': {
    'src/net': values,
    'src/api': subjects,
    'src/decide': world,
    'src/decide/gateways':
      'a lease is used when every gateway that may answer for the address has confirmed it',
  },
  'src/decide/pools': {
    'src/net': values,
    'src/api': subjects,
    'src/decide': world,
    'src/decide/policies': 'the pool belongs to a policy',
    'src/decide/gateways': 'only active gateways get addresses',
  },
  'src/decide/status': {
    'src/net': values,
    'src/api': subjects,
    'src/decide': 'a status shows what was decided about the world',
    'src/decide/policies': 'a policy’s status',
    'src/decide/gateways': 'it says which gateways a policy has, and what is wrong with them',
    'src/decide/ports': 'slots and leases that were granted or refused',
    'src/decide/pools': 'addresses that a pool gave, or lacked',
  },
  'src/decide/explain': {
    'src/net': values,
    'src/api': subjects,
    'src/decide': 'it tells what was decided, and why',
    'src/decide/policies': 'which policies select a pod, and what they claim',
    'src/decide/gateways': 'which gateways a flow may use',
  },
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
  /* The page in the browser, and the shape of what the command sends to it. */
  'src/ui': {},
  'src/cli': {
    'src/ui': 'the command draws the picture that the page shows',
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
