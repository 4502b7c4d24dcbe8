import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CheckRule,
  HEALTHY,
  type HealthEvent,
  initialHealth,
  judgeHealth,
  type ProbeOutcome,
  stepHealth,
} from './health.ts';

const FINE = { healthy: true, message: '' };
const ok: ProbeOutcome = { kind: 'ok' };
const unknown: ProbeOutcome = { kind: 'unknown', detail: 'no descriptor left' };
const failed = (detail = 'no answer'): ProbeOutcome => ({ kind: 'failed', detail });
const hop: CheckRule = {
  id: 'hop',
  reason: 'NextHopSilent',
  subject: 'the next hop',
  failures: 3,
  successes: 2,
};
const carrier: CheckRule = { ...hop, id: 'carrier', reason: 'NoCarrier', subject: 'the uplink', failures: 1 };
const web: CheckRule = { ...hop, id: 'web', reason: 'ProbeFailed', subject: 'the probe web' };

const probed = (rule: CheckRule, ...outcomes: readonly ProbeOutcome[]): readonly HealthEvent[] =>
  outcomes.map((outcome) => ({ kind: 'probed', id: rule.id, outcome }));
const begun = (rules: readonly CheckRule[], recalled = FINE) =>
  stepHealth(initialHealth(recalled), { kind: 'checks', rules });
const run = (state: ReturnType<typeof begun>, ...events: readonly (readonly HealthEvent[])[]) =>
  events.flat().reduce(stepHealth, state);
const judged = (...args: Parameters<typeof run>) => judgeHealth(run(...args));

describe('one check', () => {
  test.each([
    { name: 'nothing was asked yet', outcomes: [], healthy: true },
    { name: 'one failure too few', outcomes: [failed(), failed()], healthy: true },
    { name: 'as many failures as it takes', outcomes: [failed(), failed(), failed()], healthy: false },
    { name: 'a success in between', outcomes: [failed(), failed(), ok, failed(), failed()], healthy: true },
    { name: 'one success too few after it', outcomes: [failed(), failed(), failed(), ok], healthy: false },
    {
      name: 'successes that were not in a row',
      outcomes: [failed(), failed(), failed(), ok, failed(), ok],
      healthy: false,
    },
    {
      name: 'as many successes as it takes',
      outcomes: [failed(), failed(), failed(), ok, ok],
      healthy: true,
    },
    {
      name: 'what could not be asked counts for nothing',
      outcomes: [unknown, unknown, unknown, unknown],
      healthy: true,
    },
    {
      name: 'what could not be asked does not excuse what failed',
      outcomes: [failed(), unknown, failed(), unknown, failed()],
      healthy: false,
    },
    {
      name: 'what could not be asked does not heal',
      outcomes: [failed(), failed(), failed(), unknown, unknown, unknown],
      healthy: false,
    },
  ])('$name: healthy is $healthy', ({ outcomes, healthy }) => {
    expect(judged(begun([hop]), probed(hop, ...outcomes)).healthy).toBe(healthy);
  });

  test('says why in the words of the failure that decided, and keeps them while it fails', () => {
    const failing = run(begun([hop]), probed(hop, failed('a'), failed('b'), failed('c')));
    const health = { healthy: false, reasons: ['NextHopSilent'], message: 'the next hop: c' };
    expect(judgeHealth(failing)).toEqual(health);
    expect(judged(failing, probed(hop, failed('d')))).toEqual(health);
  });
});

describe('several checks', () => {
  test('all that fail are said, the carrier first, each reason once', () => {
    const all = begun([web, { ...web, id: 'web-2', subject: 'the probe web-2' }, hop, carrier]);
    const three = [failed(), failed(), failed()];
    const health = judged(
      all,
      probed(web, ...three),
      probed({ ...web, id: 'web-2' }, ...three),
      probed(carrier, failed('no carrier')),
    );
    expect(health).toEqual({
      healthy: false,
      reasons: ['NoCarrier', 'ProbeFailed'],
      message: 'the uplink: no carrier; the probe web: no answer; the probe web-2: no answer',
    });
  });

  test('one that is taken away fails no more; one that stays keeps its past', () => {
    const failing = run(
      begun([hop, web]),
      probed(web, failed(), failed(), failed()),
      probed(hop, failed(), failed()),
    );
    expect(judgeHealth(failing).reasons).toEqual(['ProbeFailed']);
    const less = run(failing, [{ kind: 'checks', rules: [hop] }]);
    expect(judgeHealth(less)).toEqual(HEALTHY);
    expect(judged(less, probed(hop, failed())).reasons).toEqual(['NextHopSilent']);
    expect(judged(less, probed(web, failed(), failed(), failed()))).toEqual(HEALTHY);
  });
});

describe('an agent that replaced another', () => {
  const broken = { healthy: false, message: 'the next hop: c' };
  const rechecking = { healthy: false, reasons: ['Rechecking'], message: 'the next hop: c' };

  test('leaves a healthy gateway healthy until a check fails', () => {
    expect(judged(begun([hop, carrier]), probed(hop, failed(), failed()))).toEqual(HEALTHY);
  });

  test('leaves a broken one broken until every check has passed', () => {
    const state = begun([hop, carrier], broken);
    expect(judgeHealth(state)).toEqual(rechecking);
    const half = run(state, probed(carrier, ok, ok), probed(hop, ok));
    expect(judgeHealth(half)).toEqual(rechecking);
    expect(judged(half, probed(hop, ok))).toEqual(HEALTHY);
  });

  test('says in its own words what is broken, once it knows', () => {
    const state = run(begun([hop, carrier], broken), probed(carrier, failed('no carrier')));
    expect(judgeHealth(state)).toMatchObject({ reasons: ['NoCarrier'], message: 'the uplink: no carrier' });
    expect(judged(state, probed(carrier, ok, ok))).toEqual(rechecking);
    expect(judged(state, probed(carrier, ok, ok), probed(hop, ok, ok))).toEqual(HEALTHY);
  });

  test('does not wait for ever for a check that cannot be made', () => {
    const state = run(begun([hop, carrier], broken), probed(carrier, ok, ok), probed(hop, unknown));
    expect(judgeHealth(state)).toEqual(rechecking);
    expect(judged(state, probed(hop, unknown))).toEqual(HEALTHY);
  });
});

/** The definition itself: the last run of equal outcomes that was long enough decides. */
function dumbVerdict(rule: CheckRule, outcomes: readonly ProbeOutcome[]): boolean {
  const known = outcomes.filter(({ kind }) => kind !== 'unknown').map(({ kind }) => kind);
  for (let end = known.length; end > 0; end -= 1) {
    const kind = known[end - 1];
    const need = kind === 'ok' ? rule.successes : rule.failures;
    if (end >= need && known.slice(end - need, end).every((it) => it === kind)) return kind === 'ok';
  }
  return true;
}

test('any history ends as the definition says', () => {
  const outcome = fc.constantFrom(ok, unknown, failed());
  const rule = fc.record({
    failures: fc.integer({ min: 1, max: 4 }),
    successes: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(rule, fc.array(outcome, { maxLength: 30 }), (counts, outcomes) => {
      const check = { ...hop, ...counts };
      expect(judged(begun([check]), probed(check, ...outcomes)).healthy).toBe(dumbVerdict(check, outcomes));
    }),
  );
});
