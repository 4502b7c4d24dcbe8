/** A deadline that does not blame others for this process's own stall. */

/** Calls back when the time is up, unless the function that it returns was called before. */
export function startDeadline(afterMs: number, onPassed: () => void): () => void {
  let over = false;
  const timer = setTimeout(() => {
    // After a stall timers come first, though the answer may have been waiting in a socket all the time: one look there.
    setImmediate(() => {
      if (!over) onPassed();
    });
  }, afterMs);
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
