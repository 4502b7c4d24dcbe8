/**
 * What service accounts were granted by rendered roles, and what they used by the API server's audit log, in the same terms.
 * Only roles that are bound count, and of a resource's parts each is one of its own (`egressips/status`).
 */
export interface Access {
  readonly account: string;
  /** `''` for the core group. */
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  /** Of a grant: the only objects that it is for, or none. Of a use: the object asked for, if one was. */
  readonly names: readonly string[];
}

/** As much of a rendered object as matters here. */
export interface RbacObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string }[];
}

/** One for each group × resource × verb of each rule. */
export function grantsOf(objects: readonly RbacObject[]): readonly Access[] {
  return objects.flatMap(({ roleRef, subjects = [] }) => {
    const role = objects.find(
      ({ kind, metadata }) => kind === roleRef?.kind && metadata.name === roleRef.name,
    );
    return subjects.flatMap(({ name }) => (role?.rules ?? []).flatMap((rule) => accessesOf(name, rule)));
  });
}

function accessesOf(
  account: string,
  { apiGroups, resources, verbs, resourceNames: names = [] }: NonNullable<RbacObject['rules']>[number],
): readonly Access[] {
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) => verbs.map((verb) => ({ account, group, resource, verb, names }))),
  );
}

export interface AccountUse {
  readonly uses: readonly Access[];
  /** What was refused to whom for want of a role. */
  readonly denials: readonly string[];
}

interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

const FORBIDDEN = 403;

/** @param log one audit.k8s.io/v1 Event a line; the last one may be half written */
export function useOf(log: string, namespace: string): AccountUse {
  const prefix = `system:serviceaccount:${namespace}:`;
  const events = log
    .slice(0, log.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent) // the API server's own format
    .filter(({ user }) => user.username.startsWith(prefix));
  const accountOf = ({ user }: AuditEvent): string => user.username.slice(prefix.length);
  const denied = events.filter(({ responseStatus }) => responseStatus?.code === FORBIDDEN);
  const uses = events.flatMap((event): readonly Access[] => {
    const { objectRef: at, verb } = event;
    if (at === undefined || denied.includes(event)) return [];
    const resource = at.subresource === undefined ? at.resource : `${at.resource}/${at.subresource}`;
    const names = at.name === undefined ? [] : [at.name];
    return [{ account: accountOf(event), group: at.apiGroup ?? '', resource, verb, names }];
  });
  return { uses, denials: denied.map((event) => `${accountOf(event)}: ${event.verb} ${event.requestURI}`) };
}

/** Grants that nobody made use of, as `account: verb resource.group`. */
export function unusedOf(grants: readonly Access[], uses: readonly Access[]): readonly string[] {
  const used = (grant: Access): boolean =>
    uses.some((use) => describeAccess(use) === describeAccess(grant) && isNamed(grant, use));
  return [...new Set(grants.filter((grant) => !used(grant)).map(describeAccess))].toSorted();
}

function isNamed({ names }: Access, use: Access): boolean {
  return names.length === 0 || use.names.some((name) => names.includes(name));
}

export function describeAccess({ account, verb, resource, group }: Access): string {
  return `${account}: ${verb} ${group === '' ? resource : `${resource}.${group}`}`;
}
