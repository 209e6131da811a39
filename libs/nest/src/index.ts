export { CONFIG, DATABASE, PORTS } from './tokens.js';
export { bootService, type BootOptions, startService } from './boot/boot.js';
export {
  type ApplicationParts,
  type Assembled,
  runApplication,
  type RunningApplication,
  startApplication,
} from './boot/application.js';
export { providePrisma, provideService } from './boot/providers.js';
export { Background } from './boot/background.js';
export { type Check, Health } from './boot/health.js';
export { Metrics } from './boot/metrics.js';
export { ownUrl } from './boot/own-url.js';
export { createLog } from './boot/logger.js';
export { Problem, PROBLEM_TYPE, problemDocument, tryAgain } from './http/problem.js';
export { extendDeadline } from './http/deadlines.js';
export { networkOf } from './access/rate-limit.js';
export { operationOf, RequestCaller, takeBack } from './access/guard.js';
export { type Tokens } from './access/tokens.js';
export { customerIdOf } from './access/customer.js';
export { RequestCause } from './http/correlation.js';
export { IdempotencyKey, nameBasedIds } from './http/idempotency.js';
export {
  answerPosition,
  AfterPosition,
  type Found,
  positionHeader,
  readHeaders,
  ReadYourWrites,
} from './http/position.js';
export { parsePreferWait, preferenceAppliedHeader, PreferWait } from './http/prefer.js';
export { Answer, WriteHead } from './http/answer.js';
export { cursor, inDigits, moment, pageLimit, pageOf, toPage } from './http/page.js';
export { type EventStream, EventStreams, eventText } from './http/event-stream.js';
export { answers, problemWith, refuses, route, takesHeader } from './http/route.js';
export { documentOf, type OpenApi, type Operation, type Paths, type Schemas } from './http/openapi.js';
export { Flow } from './admin/flow.js';
export { AttentionController } from './admin/attention.controller.js';
