/** Building blocks of the page. Text of others enters it here only, and as text. */

/**
 * An element. `props`: `class`, `text`, `on` (listeners by event), all others are attributes;
 * `true` is an empty attribute, `false` and `undefined` are none.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string)} children
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** @param {string} name */
export const userHref = (name) => `#/u/${name}`;

const HUES = 12;

/**
 * A monogram in a colour of its own; it says nothing that the name beside it does not say.
 * @param {string} name
 */
export function avatar(name) {
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  const letter = /[a-z0-9]/.exec(name)?.[0] ?? "_";
  return el("span", { class: `avatar hue-${hash % HUES}`, "aria-hidden": "true", text: letter.toUpperCase() });
}

/** A name that leads to its posts. @param {string} name */
export function userLink(name) {
  return el("a", { class: "name", href: userHref(name), text: name });
}

const DAY_MS = 86_400_000;
const THIS_YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const OTHER_YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "medium" });

/**
 * How long ago, short; a date after a day.
 * @param {number} at unix ms
 * @param {number} now
 */
export function ago(at, now) {
  const seconds = Math.floor((now - at) / 1_000);
  // Clocks differ: what seems to come from the near future is new.
  if (seconds < 1) return "now";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (now - at < DAY_MS) return `${Math.floor(seconds / 3_600)} h`;
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? THIS_YEAR : OTHER_YEAR).format(at);
}

/** @param {string} createdAt RFC 3339 */
export function time(createdAt) {
  const at = Date.parse(createdAt);
  if (Number.isNaN(at)) return el("time");
  return el("time", { datetime: createdAt, title: FULL.format(at), text: ago(at, Date.now()) });
}

/** Brings all times on the page up to date. */
export function refreshTimes() {
  const now = Date.now();
  for (const node of document.querySelectorAll("time[datetime]")) {
    const text = ago(Date.parse(node.dateTime), now);
    if (node.textContent !== text) node.textContent = text;
  }
}

/**
 * Moves the focus to the next or the last item of a list, from the one that has it, else from the
 * first that can be seen.
 * @param {Element[]} items
 * @param {number} step
 */
export function moveFocus(items, step) {
  if (items.length === 0) return;
  const present = items.findIndex((item) => item.contains(document.activeElement));
  let next = present + step;
  if (present < 0) {
    const top = barHeight();
    next = Math.max(items.findIndex((item) => item.getBoundingClientRect().bottom > top + 8), 0);
  }
  const item = items[Math.min(Math.max(next, 0), items.length - 1)];
  item.focus({ preventScroll: true });
  item.scrollIntoView({ block: "nearest" });
}

/** What the bar at the top covers. */
export function barHeight() {
  return document.getElementById("bar").getBoundingClientRect().bottom;
}

/** Runs `draw` before the next frame; where there are no frames (a hidden tab), soon anyway. */
export class Frame {
  #draw;
  #frame = 0;
  #timer = 0;
  #tookMs = 0;
  #endedAt = 0;

  /** @param {() => void} draw */
  constructor(draw) {
    this.#draw = draw;
  }

  ask() {
    if (this.#timer !== 0) return;
    // Under load most of the time stays with the reader: scrolling, typing.
    const wait = Math.max(0, this.#endedAt + 3 * this.#tookMs - performance.now());
    this.#timer = setTimeout(() => this.now(), wait + 250);
    if (wait < 16) this.#frame = requestAnimationFrame(() => this.now());
    else {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.now(), wait);
    }
  }

  now() {
    this.drop();
    const start = performance.now();
    this.#draw();
    this.#endedAt = performance.now();
    this.#tookMs = this.#endedAt - start;
  }

  drop() {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#timer = 0;
    this.#frame = 0;
  }
}
