// From numbers to places on an axis. Pure.

/** The least of 1, 2, 5 times a power of ten that is not below `value`. */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = value / power;
  const step = digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10;
  return step * power;
}

/** Ticks from 0 to at least `max`, three to five of them, at round numbers of `unit`. */
export function linear(max, least, unit = 1) {
  const step = roundUp(Math.max(max, least) / 4 / unit) * unit;
  const top = step * Math.max(1, Math.ceil(Math.max(max, least) / step - 1e-9));
  const ticks = [];
  for (let at = 0; at <= top + step / 2; at += step) ticks.push(at);
  return { ticks, place: (value) => Math.min(1, Math.max(0, value / top)) };
}

/** Whole decades around `min` and `max`, two at least: what is ten times slower is always equally far up. */
export function decades(min, max) {
  let low = Math.floor(Math.log10(Math.max(min, 1)));
  let high = Math.ceil(Math.log10(Math.max(max, 10)));
  if (high - low < 2) low = Math.max(0, high - 2);
  if (high - low < 2) high = low + 2;
  const ticks = [];
  for (let power = low; power <= high; power += 1) ticks.push(10 ** power);
  const place = (value) => Math.min(1, Math.max(0, (Math.log10(Math.max(value, 1)) - low) / (high - low)));
  return { ticks, place };
}

/** The index of the first of `samples` (ascending by `t`) at or after `t`. */
export function firstAt(samples, t) {
  let low = 0;
  let high = samples.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle].t < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Places labels that want to stand at `wanted` (ascending) at least `gap` apart within `[low, high]`: pushed down
 * first, then back up from the lower edge.
 */
export function spread(wanted, gap, low, high) {
  const placed = [];
  for (const [n, at] of wanted.entries()) placed.push(Math.max(at, n === 0 ? low : placed[n - 1] + gap));
  for (let n = placed.length - 1; n >= 0; n -= 1) {
    placed[n] = Math.min(placed[n], n === placed.length - 1 ? high : placed[n + 1] - gap);
  }
  return placed;
}

export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
