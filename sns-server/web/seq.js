/** Ids and seqs: unsigned 64-bit numbers, kept as the decimal strings that came over the wire. */

/**
 * Orders two of them; for `sort`. Without leading zeros the longer one is the greater one.
 * @param {string} a
 * @param {string} b
 */
export function compare(a, b) {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** @param {string} a @param {string} b */
export function max(a, b) {
  return compare(a, b) < 0 ? b : a;
}

/** @param {string} seq */
export function after(seq) {
  return String(BigInt(seq) + 1n);
}

/** @param {unknown} value */
export function isSeq(value) {
  return typeof value === "string" && /^(0|[1-9][0-9]{0,19})$/.test(value);
}
