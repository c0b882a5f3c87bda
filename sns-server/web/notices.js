/** What the reader should know, at the lower edge: said once, gone by itself unless it asks. */

import { el } from "./dom.js";

const NOTICES_MAX = 3;
const SHOWN_MS = 6_000;

/**
 * @param {string} text
 * @param {{label: string, run: () => void}} [action] with one the notice stays until it is answered
 */
export function notice(text, action) {
  const list = document.getElementById("notices");
  const close = () => {
    clearTimeout(timer);
    item.remove();
  };
  const timer = action ? 0 : setTimeout(() => close(), SHOWN_MS);
  const item = el("div", { class: "notice" }, el("p", { text }));
  if (action) {
    const run = () => {
      close();
      action.run();
    };
    item.append(el("button", { type: "button", class: "quiet", text: action.label, on: { click: run } }));
  }
  item.append(
    el("button", { type: "button", class: "quiet icon", "aria-label": "Dismiss", text: "×", on: { click: close } }),
  );
  list.append(item);
  while (list.childElementCount > NOTICES_MAX) list.firstElementChild.remove();
}

/** Says something to those who listen to the page rather than look at it. @param {string} text */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** When to try again, in words. @param {number} [ms] */
export function later(ms = 0) {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds > 90) return `Try again in ${Math.ceil(seconds / 60)} minutes.`;
  return seconds > 1 ? `Try again in ${seconds} seconds.` : "Try again in a moment.";
}

/** A refusal in words. @param {import("./api.js").ApiError} error */
export function worded(error) {
  switch (error.kind) {
    case "unavailable": return "No server answers.";
    case "exhausted":
      if (error.reason === "RATE_LIMITED") return `That was too much at a time. ${later(error.retryAfterMs)}`;
      return error.message || "The servers have too much to do.";
    case "damaged":
    case "internal": return `The server failed: ${error.message}`;
    default: return error.message;
  }
}

/** @param {import("./api.js").ApiError} error */
export function noSuchUser(error) {
  return error.reason === "USER_NOT_FOUND" || error.reason === "USERNAME_INVALID";
}
