// Numbers as people read them. A number keeps its unit by a space that does not break.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const NONE = "–";

export const known = (value) => value !== null && value !== undefined;

/** A count: a number, or a 64-bit integer as a decimal string. */
export function count(value) {
  if (!known(value)) return NONE;
  return whole.format(typeof value === "string" ? BigInt(value) : value);
}

/** Three significant digits at most, whole numbers as they are. */
function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return whole.format(value);
  return size >= 10 ? value.toFixed(1) : value.toFixed(size >= 1 ? 1 : 2);
}

export const rate = (value) => (known(value) ? `${short(value)}\u00a0/s` : NONE);

/** Milliseconds stay milliseconds, whatever the size: what is compared wants one unit. No grouping: scripts read it. */
export function millis(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 ? 0 : 1;
  return `${value < 0 ? "−" : ""}${size.toFixed(digits)}\u00a0ms`;
}

export function micros(value) {
  if (!known(value)) return NONE;
  if (value < 1000) return `${short(Math.round(value))}\u00a0µs`;
  if (value < 1_000_000) return `${short(value / 1000)}\u00a0ms`;
  return `${short(value / 1_000_000)}\u00a0s`;
}

export function bytes(value) {
  if (!known(value)) return NONE;
  let size = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024) return `${short(unit === "B" ? size : Math.round(size * 10) / 10)}\u00a0${unit}`;
    size /= 1024;
  }
  return `${short(Math.round(size * 10) / 10)}\u00a0TiB`;
}

export function share(part) {
  return known(part) ? `${(part * 100).toFixed(part < 0.1 ? 1 : 0)}%` : NONE;
}

/** A span of time in its two largest units. */
export function span(ms) {
  if (!known(ms)) return NONE;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

/** The wall clock of this machine: what the class sees on the wall. */
export function clock(ms, fraction = false) {
  const time = new Date(ms);
  if (Number.isNaN(time.getTime())) return NONE;
  const two = (value) => String(value).padStart(2, "0");
  const base = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return fraction ? `${base}.${String(time.getMilliseconds()).padStart(3, "0")}` : base;
}
