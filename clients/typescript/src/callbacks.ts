/**
 * Calls the program's callbacks. What they throw is reported to the program and never interrupts the client.
 */

/** Calls functions of the program. */
export class Callbacks {
  constructor(private readonly onError: ((error: Error) => void) | undefined) {}

  /** Calls; what is thrown now, or by the promise that is returned, is reported. */
  run(call: () => unknown): void {
    try {
      const result = call();
      if (isThenable(result)) {
        result.then(undefined, (error: unknown) => this.report(error));
      }
    } catch (error) {
      this.report(error);
    }
  }

  /** Reports an error that concerns no request to the program. */
  report(error: unknown): void {
    const known = error instanceof Error ? error : new Error(String(error));
    try {
      if (this.onError !== undefined) {
        this.onError(known);
        return;
      }
    } catch (second) {
      reportToPlatform(second);
      return;
    }
    reportToPlatform(known);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === "function";
}

/** As an uncaught exception of a page, where there is one; a program in Node goes on. */
function reportToPlatform(error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void };
  if (typeof reportError === "function") {
    reportError(error);
  } else {
    console.error(error);
  }
}
