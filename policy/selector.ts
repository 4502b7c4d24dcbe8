/** Label selectors: do they keep Kubernetes' rules, and which labels do they match. */
import type { LabelRequirement, LabelSelector } from './model.ts';

export type Labels = Readonly<Record<string, string>>;

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set */
const NAME_TEXT = '[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const DNS_LABEL_TEXT = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?';
const DNS_SUBDOMAIN_TEXT = `${DNS_LABEL_TEXT}(?:[.]${DNS_LABEL_TEXT})*`;
/** Regular expressions that Go reads too, for the schema. A key's prefix has at most 253 characters besides. */
export const LABEL_KEY = `^(?:${DNS_SUBDOMAIN_TEXT}/)?${NAME_TEXT}$`;
export const LABEL_VALUE = `^(?:${NAME_TEXT})?$`;
const NAME = new RegExp(`^${NAME_TEXT}$`);
const DNS_SUBDOMAIN = new RegExp(`^${DNS_SUBDOMAIN_TEXT}$`);
const DNS_SUBDOMAIN_LENGTH_MAX = 253;

export function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash < 0) return NAME.test(key);
  const prefix = key.slice(0, slash);
  return (
    prefix.length <= DNS_SUBDOMAIN_LENGTH_MAX && DNS_SUBDOMAIN.test(prefix) && NAME.test(key.slice(slash + 1))
  );
}

export function isLabelValue(value: string): boolean {
  return value === '' || NAME.test(value);
}

/** All requirements hold; none matches everything. As in Kubernetes, `NotIn` also matches an absent key. */
export function matchesSelector({ requirements }: LabelSelector, labels: Labels): boolean {
  return requirements.every((requirement) => matches(requirement, labels));
}

function matches({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return operator satisfies never;
  }
}
