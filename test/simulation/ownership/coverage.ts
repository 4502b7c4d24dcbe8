/** Counts what a run went through: transitions, faults, rules at work. A batch that never saw one of them proves little. */

export class Coverage {
  readonly counts = new Map<string, number>();

  hit(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  add(other: Pick<Coverage, 'counts'>): void {
    for (const [name, count] of other.counts) this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  missing(): readonly string[] {
    return EXPECTED.filter((name) => !this.counts.has(name));
  }
}

/** What two hundred seeds have to see. */
export const EXPECTED: readonly string[] = [
  'address: armed as holder',
  'address: armed as standby',
  'address: disarmed for its policy',
  'address: disarmed for a candidate',
  'address: right raised without a gap',
  'address: told of again',
  'ask: sent',
  'ask: answered holding',
  'ask: answered released',
  'ask: through a voter',
  'ask: of a former session',
  'session: opened',
  'session: revived after a lapse',
  'session: beats seldom',
  'session: over, no-majority',
  'session: over, called-dead',
  'session: over, lease-lost',
  'session: closed',
  'voter: granted',
  'voter: granted after a retraction',
  'voter: retracting',
  'voter: refused',
  'voter: outdated',
  'voter: called dead',
  'voter: not heard and not waited for',
  'voter: waited for later',
  'voter: told of a configuration',
  'voters: joint',
  'voters: stable again',
  'death: concluded',
  'death: heard from the API',
  'release: heard from the API',
  'controller: new holder',
  'controller: answerer put first',
  'controller: standby appended in the same epoch',
  'controller: fence inherited',
  'controller: fence shortened',
  'controller: conflict',
  'controller: address released',
  'controller: address created',
  'order: joined by its gateway',
  'lease: stale write',
  'lease: number to be won again',
  'holdings: heard',
  'holdings: asked for by a new agent',
  'controller: lost epochs',
  'controller: waits for who answers',
  'kernel: command failed',
  'segment: answered',
  'segment: announcement fenced',
  'segment: announced to a router that errs',
];
