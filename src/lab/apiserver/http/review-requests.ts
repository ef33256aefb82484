import type { IncomingMessage } from 'node:http'
import type { Access, User } from '../access/access.ts'
import {
  localReviewIn,
  reviewAccess,
  reviewOther,
  reviewPaths,
  reviewRules,
  reviewSubject,
  reviewToken,
} from '../access/reviews.ts'
import { attemptAt } from './attempt.ts'
import { readBody } from './request.ts'

/** What users may ask about themselves. */
const ownReviews: ReadonlySet<string> = new Set([reviewPaths.subject, reviewPaths.access, reviewPaths.rules])

/** The answer to a review. Undefined if the path is of none. */
export async function answerReview(
  access: Access,
  path: string,
  user: User,
  request: IncomingMessage,
): Promise<object | undefined> {
  if (!ownReviews.has(path)) return answerReviewOfOthers(access, path, user, request)
  access.authorize(user, attemptAt('POST', path))
  if (path === reviewPaths.subject) return reviewSubject(user)
  const body = await readBody(request)
  return path === reviewPaths.access ? reviewAccess(access, user, body) : reviewRules(access, user, body)
}

/** To review other users takes a right of its own. */
async function answerReviewOfOthers(
  access: Access,
  path: string,
  user: User,
  request: IncomingMessage,
): Promise<object | undefined> {
  const namespace = localReviewIn(path)
  if (path !== reviewPaths.other && path !== reviewPaths.token && namespace === undefined) return undefined
  const [, , group = '', , ...rest] = path.split('/')
  const attempt = { verb: 'create', group, resource: rest.at(-1) ?? '', subresource: '', name: '', path }
  access.authorize(user, { ...attempt, namespace: namespace ?? '' })
  const body = await readBody(request)
  return path === reviewPaths.token
    ? reviewToken(access, body, Date.now())
    : reviewOther(access, body, namespace)
}
