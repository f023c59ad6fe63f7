/**
 * Timers of any length, also if the platform throttles them or suspends the page.
 */

/** The longest delay of a platform's timer: with a greater one it fires after 1 ms. */
const PLATFORM_TIMER_MS_MAX = 2 ** 31 - 1;
/** If a timer fires later than this, the page was suspended: the awaited event may have arrived meanwhile. */
const LATE_MS = 1000;

/** One delayed call. */
export class Timer {
  private handle: ReturnType<typeof setTimeout> | undefined;

  /**
   * Calls `fire` after `millis`; `Infinity` never does.
   *
   * @param patient if the page was suspended, events that arrived meanwhile are delivered before the timer fires.
   */
  constructor(
    millis: number,
    private readonly fire: () => void,
    private readonly patient = false,
  ) {
    if (millis !== Number.POSITIVE_INFINITY) {
      this.wait(performance.now() + millis);
    }
  }

  /** The call does not happen. */
  cancel(): void {
    clearTimeout(this.handle);
  }

  private wait(due: number): void {
    const left = Math.max(0, due - performance.now());
    this.handle = setTimeout(() => this.elapsed(due), Math.min(left, PLATFORM_TIMER_MS_MAX));
  }

  private elapsed(due: number): void {
    const late = performance.now() - due;
    if (late < -1) {
      this.wait(due);
    } else if (this.patient && late > LATE_MS) {
      this.handle = setTimeout(this.fire, LATE_MS);
    } else {
      this.fire();
    }
  }
}

/**
 * Checks a number that a caller has chosen.
 *
 * @throws RangeError it is negative or not a number.
 */
export function checkedNumber(name: string, value: number): number {
  if (typeof value !== "number" || !(value >= 0)) {
    throw new RangeError(`${name} is a number, 0 or more; found ${String(value)}`);
  }
  return value;
}
