import { flowsKeepTheirAddress, onlyPolicyAddresses, strangersAnswerForNothing } from './addresses.ts'
import { establishedFlowsArrive } from './delivery.ts'
import type { MakeInvariant } from './invariant.ts'
import { newFlowsFollowPolicies } from './new-flows.ts'
import { portsHaveOneOwner } from './ports.ts'
import { processesNeverCrash } from './processes.ts'
import { newFlowsReachReadyEndpoints, servedFlowsKeepTheirEndpoint } from './services.ts'
import { readyMeansForwarded } from './status.ts'
import { tablesConverge } from './tables.ts'
import { queriesChangeNothing, viewsNameTheHolder } from './views.ts'

export const invariants: readonly MakeInvariant[] = [
  onlyPolicyAddresses,
  flowsKeepTheirAddress,
  newFlowsFollowPolicies,
  portsHaveOneOwner,
  establishedFlowsArrive,
  strangersAnswerForNothing,
  readyMeansForwarded,
  queriesChangeNothing,
  viewsNameTheHolder,
  servedFlowsKeepTheirEndpoint,
  newFlowsReachReadyEndpoints,
  processesNeverCrash,
  tablesConverge,
]
