/** What one step of a core did, for coverage, checker and trace. Reads states and effects; decides nothing. */
import type { Verdict } from '../../../failover/core/ownership/messages.ts';
import type {
  OwnershipEffect,
  OwnershipEvent,
  OwnershipState,
} from '../../../failover/core/ownership/ownershipState.ts';
import type { Ground } from './ground.ts';
import type { SimNode } from './simNode.ts';

export interface ObservedStep {
  readonly before: OwnershipState;
  readonly after: OwnershipState;
  readonly event: OwnershipEvent;
  readonly effects: readonly OwnershipEffect[];
}

export function observeStep(ground: Ground, node: SimNode, step: ObservedStep): void {
  const { before, after, event, effects } = step;
  if (before.addresses !== after.addresses) observeAddresses(ground, node, step);
  if (before.peer !== after.peer) observePeer(ground, step);
  if (before.voter.config !== after.voter.config) {
    ground.checker.silenced(node);
    ground.coverage.hit(after.voter.config?.sets.length === 2 ? 'voters: joint' : 'voters: stable again');
  }
  if (before.voter.entries !== after.voter.entries) observeVoter(ground, step);
  if (before.deaths.verdicts !== after.deaths.verdicts && event.kind === 'received')
    ground.coverage.hit('death: concluded');
  if (event.kind === 'received' && event.message.kind === 'ask' && event.message.target.gateway !== node.name)
    ground.coverage.hit('ask: through a voter');
  if (event.kind === 'received' && event.message.kind === 'hello' && after.announcing.words.length > 0)
    ground.coverage.hit('holdings: asked for by a new agent');
  for (const effect of effects) observeEffect(ground, node, after, effect);
  if (ground.trace !== undefined) traceStep(ground.trace, node, step);
}

function observeAddresses(
  { checker, coverage }: Ground,
  node: SimNode,
  { before, after }: ObservedStep,
): void {
  for (const [address, { kernel }] of after.addresses) {
    const was = before.addresses.get(address)?.kernel;
    if (was === kernel) continue;
    if (kernel.kind === 'arming' || kernel.kind === 'armed') {
      if (was?.kind === 'armed') coverage.hit('address: right raised without a gap');
      checker.armed(node, address, kernel.right);
    }
    if (kernel.kind === 'disarming') {
      const waiting = after.addresses.get(address)?.waiting.length ?? 0;
      coverage.hit(waiting > 0 ? 'address: disarmed for a candidate' : 'address: disarmed for its policy');
    }
  }
}

function observeVoter({ coverage }: Ground, { before, after }: ObservedStep): void {
  for (const [gateway, { stage }] of after.voter.entries) {
    const was = before.voter.entries.get(gateway)?.stage.kind;
    if (was === stage.kind) continue;
    if (stage.kind === 'unheard') coverage.hit('voter: not heard and not waited for');
    if (was === 'unheard' && stage.kind === 'declared') coverage.hit('voter: waited for later');
  }
}

function observePeer({ coverage }: Ground, { before, after, event: { nowMs } }: ObservedStep): void {
  const [was, is] = [before.peer, after.peer];
  if (was === undefined || is === undefined || was.session !== is.session) return;
  if (is.nextBeatMs > was.nextBeatMs && is.nextBeatMs > nowMs + after.durations.promiseMs)
    coverage.hit('session: beats seldom');
  if (was.validUntilMs > 0 && was.validUntilMs < nowMs && is.validUntilMs > was.validUntilMs)
    coverage.hit('session: revived after a lapse');
}

function observeEffect(
  { coverage }: Ground,
  node: SimNode,
  after: OwnershipState,
  effect: OwnershipEffect,
): void {
  switch (effect.kind) {
    case 'arm': {
      const kernel = after.addresses.get(effect.address)?.kernel;
      const index = kernel?.kind === 'arming' ? kernel.right.index : 0;
      return coverage.hit(index === 0 ? 'address: armed as holder' : 'address: armed as standby');
    }
    case 'session-over':
      return coverage.hit(`session: over, ${effect.reason}`);
    case 'session-closed':
      return coverage.hit('session: closed');
    case 'send':
      return observeMessage(coverage, node, effect);
    case 'beat':
    case 'grant':
    case 'disarm':
    case 'announce':
    case 'heard-holdings':
      return;
    case 'refresh':
      return coverage.hit('address: told of again');
    default:
      return effect satisfies never;
  }
}

/** Looked up, not put together: there are hundreds of thousands. */
const VERDICTS: Readonly<Record<Verdict['kind'], string>> = {
  granted: 'voter: granted',
  retracting: 'voter: retracting',
  refused: 'voter: refused',
  outdated: 'voter: outdated',
};

function observeMessage(
  coverage: Ground['coverage'],
  node: SimNode,
  { message }: Extract<OwnershipEffect, { readonly kind: 'send' }>,
): void {
  switch (message.kind) {
    case 'answer': {
      const { verdict } = message;
      const retracted = verdict.kind === 'granted' && !verdict.generation.endsWith('.0');
      coverage.hit(retracted ? 'voter: granted after a retraction' : VERDICTS[verdict.kind]);
      if (message.config !== undefined) coverage.hit('voter: told of a configuration');
      return;
    }
    case 'statements':
      return coverage.hit('voter: called dead');
    case 'ask':
      return coverage.hit('ask: sent');
    case 'told':
      if (message.target.gateway !== node.name) return;
      if (message.state === 'released' && node.agent?.worker.state.peer?.session !== message.target.session)
        coverage.hit('ask: of a former session');
      return coverage.hit(`ask: answered ${message.state}`);
    case 'heartbeat':
    case 'moved':
    case 'moved-ack':
    case 'hello':
      return;
    default:
      message satisfies never;
  }
}

/** Heartbeats and grants by the hundred would hide what happens. */
function traceStep(
  trace: NonNullable<Ground['trace']>,
  node: SimNode,
  { before, after, event, effects }: ObservedStep,
): void {
  const told = effects.filter((effect) =>
    effect.kind === 'send'
      ? !['heartbeat', 'moved', 'moved-ack', 'hello'].includes(effect.message.kind) &&
        !(effect.message.kind === 'answer' && effect.message.verdict.kind === 'granted')
      : effect.kind !== 'beat' && effect.kind !== 'heard-holdings',
  );
  const news =
    before.addresses !== after.addresses ||
    before.deaths.verdicts !== after.deaths.verdicts ||
    before.peer?.session !== after.peer?.session;
  if (told.length === 0 && !news) return;
  const addresses = [...after.addresses].map(([name, { kernel, releasedEpoch }]) => {
    const right = 'right' in kernel ? `${kernel.right.epoch},${kernel.right.index}` : '';
    return `${name}:${kernel.kind}(${right})<${releasedEpoch}`;
  });
  trace(
    () =>
      `${node.name} ${event.kind === 'received' ? `${event.message.kind} from ${event.from}` : event.kind} | local ${event.nowMs.toFixed(1)} session ${after.peer?.session ?? '-'} valid until ${after.peer?.validUntilMs.toFixed(1) ?? '-'} ${addresses.join(' ')} dead ${JSON.stringify(Object.fromEntries(after.deaths.verdicts))} | ${told.map((it) => JSON.stringify(it)).join(' ')}`,
  );
}
