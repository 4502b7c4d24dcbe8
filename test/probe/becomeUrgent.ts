import { setPriority } from 'node:os';

/** Of setpriority(2): before everything that the probes look at, behind what the kernel runs. */
const URGENT = -15;

/** Who measures must not be what is late. Without the right to it, as in a pod, things stay as they are. */
export function becomeUrgent(): void {
  try {
    setPriority(URGENT);
  } catch {
    // Not ours to have.
  }
}
