/** Writes a status as the wire has it. What is empty is left out: an empty text is no time and no name. */
import type { EgressIpStatus, PolicyStatus } from './controllerView.ts';

export function renderEgressIpStatus(status: EgressIpStatus): unknown {
  const { lastFailover, standbys } = status;
  return withoutEmpty({
    ...status,
    standbyNames: standbys.join(','),
    lastFailover: lastFailover === undefined ? undefined : withoutEmpty(lastFailover),
  });
}

export function renderPolicyStatus(status: PolicyStatus): unknown {
  return withoutEmpty({
    ...status,
    conditions: status.conditions.map(withoutEmpty),
    addresses: status.addresses.map(withoutEmpty),
  });
}

function withoutEmpty(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== '' && value !== undefined),
  );
}
