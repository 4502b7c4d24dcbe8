/**
 * Tells which of two resourceVersions comes first. They are decimal integers that grow over a collection
 * (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions, since 1.35), and go back only where etcd
 * was restored from a snapshot. What is no such number is taken as newer.
 */
export function isOlderVersion(candidate: string, known: string): boolean {
  if (!/^\d+$/.test(candidate) || !/^\d+$/.test(known)) return false;
  return candidate.length === known.length ? candidate < known : candidate.length < known.length;
}
