/** Expected outcomes are values: what a parser or a rule gives back instead of throwing. */
export type Result<T, E> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly error: E };

export function ok<T>(value: T): Result<T, never> {
  return { kind: 'ok', value };
}

export function refused<E>(error: E): Result<never, E> {
  return { kind: 'refused', error };
}
