import type { PodEvent } from '../../cluster/pod-events.ts'
import type { Container } from '../pod-spec.ts'
import { ConfigProblem } from './environment.ts'

/** The reason in the container's status, and the Events about it. */
interface ContainerProblem {
  readonly reason: string
  readonly message: string
  readonly events: readonly PodEvent[]
}

/** A lab pulls no images. An image that the runtime does not have is missing. */
export class ImageProblem extends Error {}

const failed = (message: string): PodEvent => ({ type: 'Warning', reason: 'Failed', message })

/** Why a container could not be started, with the reasons of real clusters. */
export function problemOf(container: Container, error: unknown): ContainerProblem {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof ImageProblem) return imageProblem(container, message)
  const reason = error instanceof ConfigProblem ? 'CreateContainerConfigError' : 'CreateContainerError'
  return { reason, message, events: [failed(`Error: ${message}`)] }
}

function imageProblem({ image, imagePullPolicy }: Container, why: string): ContainerProblem {
  if (imagePullPolicy === 'Never') {
    const reason = 'ErrImageNeverPull'
    const message = `Container image "${image}" is not present with pull policy of Never`
    return { reason, message, events: [{ type: 'Warning', reason, message }, failed(`Error: ${reason}`)] }
  }
  const events: PodEvent[] = [
    { type: 'Normal', reason: 'Pulling', message: `Pulling image "${image}"` },
    failed(`Failed to pull image "${image}": ${why}`),
    failed('Error: ErrImagePull'),
  ]
  return { reason: 'ErrImagePull', message: why, events }
}
