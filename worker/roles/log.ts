// The log of one process: JSON lines on standard error, constant text, values as fields. No levels to configure.
import type { LogLine } from '../protocol/progress.ts';

export type Log = (
  level: LogLine['level'],
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** A line with this message carries the error with which a process ends, as fields `code` and `message`. */
export const FATAL = 'process failed';

export function stderrLog(source: string): Log {
  return (level, message, fields = {}) => {
    const line: LogLine = { time: new Date().toISOString(), source, level, message, fields };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  };
}

/** Undefined when the text is not a log line, for example a message of a native library. */
export function parseLogLine(text: string): LogLine | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<LogLine> | null;
    const whole = typeof parsed?.message === 'string' && typeof parsed.source === 'string' && parsed.fields;
    return whole ? (parsed as LogLine) : undefined;
  } catch {
    return undefined;
  }
}
