// Numbers as people read them. Pure: values in, short text out.

/** Keras' rule: four decimals, or scientific below a thousandth. */
export function formatMetric(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0 || Math.abs(value) > 1e-3) return value.toFixed(4);
  return value.toExponential(4);
}

/** 7s, 3:05, 1:02:09: the largest unit first, as Keras prints remaining time. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** 0.42 s, 12.3 s, 4:05: short times with three digits. */
export function formatSeconds(seconds: number): string {
  if (seconds >= 60) return formatDuration(seconds);
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

/** Time of one step in the unit that gives it one to three digits: 2s/step, 85ms/step, 120us/step. */
export function formatStepTime(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(1)}s/step`;
  if (seconds >= 1e-3) return `${Math.round(seconds * 1e3)}ms/step`;
  return `${Math.round(seconds * 1e6)}us/step`;
}

/** 0, 950, 12.3k, 4.6M. */
export function formatCount(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  return String(Math.round(value));
}

/** `accuracy: 0.9120 - loss: 0.2513`, in the order of the record. */
export function formatMetrics(metrics: Readonly<Record<string, number>>, prefix = ''): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${prefix}${name}: ${formatMetric(value)}`)
    .join(' - ');
}
