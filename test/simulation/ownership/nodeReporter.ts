/** Keeps the node's own object in the API equal to what its agent knows: one write at a time, again when one failed. */
import type { Claim } from '../../../failover/core/agent/holders.ts';
import { followNewest } from '../../../failover/core/agent/lostAssignments.ts';
import type { EgressIp } from '../../../failover/core/egressIp.ts';
import type { GatewayNode } from '../../../failover/core/gatewayNode.ts';
import type { ApiView } from './apiModel.ts';
import type { Ground, Word } from './ground.ts';
import { renderNode, reportText } from './renderNode.ts';
import type { SimNode } from './simNode.ts';
import type { Thread } from './thread.ts';

const RETRY_MS = 500;

export class NodeReporter {
  readonly #node: SimNode;
  readonly #ground: Ground;
  readonly #thread: Thread;
  readonly #confirmed: ReadonlyMap<string, number>;
  readonly #heard: ReadonlyMap<string, readonly Claim[]>;
  #newest: ReadonlyMap<string, EgressIp> = new Map();
  #word: Word | undefined;
  #lastSession = 0;
  #view: ApiView | undefined;
  /** What is to be reported by all that is known. */
  #rendered: GatewayNode | undefined;
  #reported = '';
  #writing = false;

  constructor(
    node: SimNode,
    ground: Ground,
    known: {
      readonly thread: Thread;
      readonly confirmed: ReadonlyMap<string, number>;
      readonly heard: ReadonlyMap<string, readonly Claim[]>;
    },
  ) {
    this.#node = node;
    this.#ground = ground;
    this.#thread = known.thread;
    this.#confirmed = known.confirmed;
    this.#heard = known.heard;
  }

  said(word: Word): void {
    this.#word = word;
    this.#lastSession = Math.max(this.#lastSession, word.session);
    this.#rendered = undefined;
    this.#report();
  }

  /** @param isNews of the view's objects or of what is confirmed */
  viewed(view: ApiView, isNews: boolean): void {
    this.#view = view;
    if (isNews) {
      this.#rendered = undefined;
      // A copy: the view is changed in place.
      this.#newest = followNewest(this.#newest, new Map(view.ips));
    }
    // A write that was given up for lost may have come after the one that replaced it.
    const own = view.nodes.get(this.#node.name);
    if (own !== undefined && reportText(own) !== this.#reported && !this.#writing) this.#reported = '';
    this.#report();
  }

  #report(): void {
    if (this.#word === undefined || this.#view === undefined || this.#writing) return;
    const { api, queue } = this.#ground;
    const { name } = this.#node;
    this.#rendered ??= renderNode(
      {
        name,
        word: this.#word,
        newest: this.#newest,
        heard: this.#heard,
        lastSession: this.#lastSession,
        confirmed: this.#confirmed,
      },
      this.#view,
    );
    const report = this.#rendered;
    const text = reportText(report);
    if (text === this.#reported) return;
    this.#writing = true;
    this.#reported = text;
    api.call(
      () => this.#node.apiCuts === 0 && this.#node.on,
      () => api.commit({ kind: 'node', name, value: report }),
      (answer) =>
        this.#thread.post(() => {
          this.#writing = false;
          if (answer.kind === 'answered') return this.#report();
          queue.after(RETRY_MS, () => this.#thread.post(() => this.#again()));
        }),
    );
  }

  #again(): void {
    if (!this.#writing) this.#reported = '';
    this.#report();
  }
}
