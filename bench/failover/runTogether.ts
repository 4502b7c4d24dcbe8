/**
 * One fault in one or more systems in the same instant: all stand whole, all carry traffic, all are hit together, all
 * settle, all are judged, all are put back. What goes wrong in one of them is its own result and does not end the others'.
 */

/** One system under one fault. What throws, throws a text that says what went wrong. */
export interface Lane {
  /** Nothing is left of an earlier fault. */
  waitWhole(): Promise<void>;
  /** Traffic flows, and a third party watches who answers. */
  startTraffic(): Promise<void>;
  /** Gaps count from here. */
  markGaps(): void;
  inject(): Promise<void>;
  /** The fault is over for whoever sends packets; throws where it is not within its deadline. */
  settle(): Promise<void>;
  /** Ends the traffic; called once it was started, whatever happened since. */
  measure(): Promise<Measured>;
  /** Puts the system back if it was hit, and ends all that was started. */
  restore(): Promise<void>;
}

export interface Measured {
  /** The longest silence in the worse direction. */
  readonly gapMs: number;
  /** UDP packets of both directions. */
  readonly lostPackets: number;
  readonly opened: number;
  readonly alive: number;
  /** Everybody who answered ARP, in the order of their first answers. */
  readonly answerers: readonly string[];
  /** How many did so at once at the most. */
  readonly answerersMax: number;
  /** The longest that the probe itself was not run by the machine, milliseconds: a gap is no truer than that. */
  readonly stallMs: number;
}

export interface RunResult extends Omit<Measured, 'gapMs'> {
  /** `null`: nobody can say when it ended, or it was never measured. `failure` has the reason. */
  readonly gapMs: number | null;
  readonly failure?: string;
  /** The system could not be put back: the next run begins with that. */
  readonly leftBroken?: string;
}

const UNMEASURED: Measured = {
  gapMs: 0,
  lostPackets: 0,
  opened: 0,
  alive: 0,
  answerers: [],
  answerersMax: 0,
  stallMs: 0,
};

/** @param first the lane whose fault is injected first, by a hair: the callers take turns */
export async function runTogether(lanes: readonly Lane[], first = 0): Promise<readonly RunResult[]> {
  const runs = lanes.map((lane) => new LaneRun(lane));
  const inTurn = [...runs.slice(first), ...runs.slice(0, first)];
  const all = (act: (run: LaneRun) => Promise<void>): Promise<unknown> => Promise.all(inTurn.map(act));
  await all((run) => run.step('not whole', (lane) => lane.waitWhole()));
  await all((run) => run.start());
  for (const run of inTurn) run.markGaps();
  await all((run) => run.step('the fault could not be injected', (lane) => lane.inject()));
  await all((run) => run.step('not settled', (lane) => lane.settle()));
  await all((run) => run.measure());
  await all((run) => run.restore());
  return runs.map((run) => run.result());
}

/** A lane, and what has become of it so far. */
class LaneRun {
  readonly #lane: Lane;
  #started = false;
  #failure: string | undefined;
  #leftBroken: string | undefined;
  #measured: Measured | undefined;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /** Nothing follows a step that failed but the measuring and the way back. */
  async step(what: string, act: (lane: Lane) => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await act(this.#lane);
    } catch (error) {
      this.#failure = `${what}: ${messageOf(error)}`;
    }
  }

  async start(): Promise<void> {
    await this.step('no traffic', (lane) => lane.startTraffic());
    this.#started = this.#failure === undefined;
  }

  markGaps(): void {
    if (this.#started) this.#lane.markGaps();
  }

  async measure(): Promise<void> {
    if (!this.#started) return;
    try {
      this.#measured = await this.#lane.measure();
    } catch (error) {
      this.#failure ??= `not measured: ${messageOf(error)}`;
    }
  }

  async restore(): Promise<void> {
    try {
      await this.#lane.restore();
    } catch (error) {
      this.#leftBroken = messageOf(error);
    }
  }

  result(): RunResult {
    const measured = this.#measured ?? UNMEASURED;
    return {
      ...measured,
      gapMs: this.#failure === undefined ? measured.gapMs : null,
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
      ...(this.#leftBroken === undefined ? {} : { leftBroken: this.#leftBroken }),
    };
  }
}

/** What failed, and the last thing seen of it; the logs that may follow would bury the other figures. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n').slice(0, 2).join(' – ');
}
