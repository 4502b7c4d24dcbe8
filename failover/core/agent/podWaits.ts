/**
 * How long new pods wait for their egress IP: from the view that first had a selected pod's address to the plan in the kernel by
 * which its connections leave. Pods that were there before the agent was, or before their policy, have waited for nothing.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { NodeDataPlane, PodPlan } from '../dataPlane.ts';

export class PodWaits {
  #known: ReadonlySet<string> | undefined;
  #pods: readonly PodPlan[] | undefined;
  /** Address as text → since when, monotonic milliseconds. */
  readonly #waiting = new Map<string, number>();

  /** The pods of the newest view. */
  seen(pods: readonly PodPlan[], nowMs: number): void {
    if (pods === this.#pods) return;
    const before = this.#known;
    const known = new Set<string>();
    for (const { address, routes } of pods) {
      const text = formatAddress(address);
      known.add(text);
      if (before?.has(text) === false && routes.some(({ action }) => action.kind === 'egress'))
        this.#waiting.set(text, nowMs);
    }
    for (const text of this.#waiting.keys()) if (!known.has(text)) this.#waiting.delete(text);
    this.#known = known;
    this.#pods = pods;
  }

  /** The plan is in the kernel. Milliseconds that each pod whose wait is over has waited. */
  programmed({ pods, addresses }: NodeDataPlane, nowMs: number): readonly number[] {
    if (this.#waiting.size === 0) return [];
    const ready = new Set(
      addresses
        .filter((it) => it.holder !== undefined && it.usable.length > 0)
        .map((it) => formatAddress(it.address)),
    );
    return pods.flatMap(({ address, routes }) => {
      const text = formatAddress(address);
      const sinceMs = this.#waiting.get(text);
      const leaves = routes.some(
        ({ action }) =>
          action.kind === 'egress' && action.addresses.some((it) => ready.has(formatAddress(it))),
      );
      if (sinceMs === undefined || !leaves) return [];
      this.#waiting.delete(text);
      return [nowMs - sinceMs];
    });
  }
}
