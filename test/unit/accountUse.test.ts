import { expect, test } from 'vitest';
import { grantsOf, type RbacObject, unusedOf, useOf } from '../scenarios/accountUse.ts';

const ROLES: readonly RbacObject[] = [
  {
    kind: 'ClusterRole',
    metadata: { name: 'r' },
    rules: [
      { apiGroups: [''], resources: ['pods', 'nodes'], verbs: ['list'] },
      { apiGroups: ['g.dev'], resources: ['things/status'], verbs: ['patch'] },
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['mine'], verbs: ['get'] },
    ],
  },
  // Of the same name and another kind, and bound to nobody.
  { kind: 'Role', metadata: { name: 'r' }, rules: [{ apiGroups: [''], resources: ['x'], verbs: ['get'] }] },
  {
    kind: 'ClusterRoleBinding',
    metadata: { name: 'r' },
    roleRef: { kind: 'ClusterRole', name: 'r' },
    subjects: [{ kind: 'ServiceAccount', name: 'a' }],
  },
];

function line(event: object, code = 200): string {
  const user = { username: 'system:serviceaccount:ns:a' };
  return `${JSON.stringify({ user, requestURI: '/x', responseStatus: { code }, ...event })}\n`;
}

const LIST_PODS = line({ verb: 'list', objectRef: { resource: 'pods' } });
const PATCH_STATUS = line({
  verb: 'patch',
  objectRef: { apiGroup: 'g.dev', resource: 'things', subresource: 'status', name: 't' },
});
const GET = (name: string) => line({ verb: 'get', objectRef: { resource: 'secrets', name } });

test('what was used by nobody is named', () => {
  const { uses, denials } = useOf(LIST_PODS + PATCH_STATUS, 'ns');
  expect(unusedOf(grantsOf(ROLES), uses)).toEqual(['a: get secrets', 'a: list nodes']);
  expect(denials).toEqual([]);
});

test('a grant for one object is not used by asking for another, nor by another account', () => {
  const grants = grantsOf(ROLES);
  expect(unusedOf(grants, useOf(GET('other'), 'ns').uses)).toContain('a: get secrets');
  expect(unusedOf(grants, useOf(GET('mine'), 'ns').uses)).not.toContain('a: get secrets');
  expect(useOf(GET('mine'), 'elsewhere').uses).toEqual([]);
});

test('what was denied is no use, and a half written line is left for later', () => {
  const denied = line({ verb: 'list', objectRef: { resource: 'nodes' }, requestURI: '/api/v1/nodes' }, 403);
  const { uses, denials } = useOf(`${denied}{"verb":"li`, 'ns');
  expect(uses).toEqual([]);
  expect(denials).toEqual(['a: list /api/v1/nodes']);
});
