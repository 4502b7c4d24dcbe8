/** Sequences of one session in one run are far fewer. */
const SESSION_STRIDE = 1_000_000;

/** One number for a heartbeat of a gateway: maps find it faster than a text. */
export function beatKey(session: number, seq: number): number {
  return session * SESSION_STRIDE + seq;
}
