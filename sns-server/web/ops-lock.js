// The door of this page: where names have passwords, what stands here is shown for a token of the operator's.

import { show, text } from "./ops-dom.js";

/** In this tab's storage alone: it ends with the tab. */
const KEY = "sns.ops.token";
/** One server that refuses what another took a moment ago is unwell, or a moment behind: no reason to lock. */
const TRUST_MS = 5000;
const ASKS_FOR_TOKEN = new Set(["TOKEN_MISSING", "TOKEN_INVALID", "SCOPE_MISSING"]);

export class Lock {
  /** What opens the servers; null: nothing was given. */
  token = stored();
  /** No server is asked while somebody has to bring a token. */
  closed = false;

  #parts;
  #check;
  #changed;
  #tookAt = null;

  /**
   * `check(token)` asks the servers: the reason why it was refused, "" if it is good, null if nobody answers.
   * `changed()` is called when the door opened or closed.
   */
  constructor(parts, check, changed) {
    this.#parts = parts;
    this.#check = check;
    this.#changed = changed;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!parts.submit.disabled) this.#bring();
    });
  }

  /** A server answered with the present token, or needs none. */
  took(now) {
    this.#tookAt = now;
  }

  /** A server refused to speak. Says whether that closes the door; if not, it counts as no answer. */
  refused(reason, token, now) {
    if (!ASKS_FOR_TOKEN.has(reason) || token !== this.token) return false;
    if (this.#tookAt !== null && now - this.#tookAt < TRUST_MS) return false;
    if (!this.closed) this.#close(token === null ? "" : ended(reason));
    return true;
  }

  forget() {
    this.#keep(null);
    this.#close("");
  }

  #close(words) {
    this.closed = true;
    this.#tookAt = null;
    this.#keep(null);
    this.#draw(words);
    this.#parts.field.focus();
    this.#changed();
  }

  async #bring() {
    const { field, submit } = this.#parts;
    const token = field.value.trim().replace(/^bearer\s+/i, "");
    // What cannot stand in a header is no token either.
    const sound = /^[\x21-\x7e]+$/.test(token);
    submit.disabled = true;
    this.#draw("");
    const reason = sound ? await this.#check(token) : "TOKEN_INVALID";
    submit.disabled = false;
    if (reason !== "") {
      this.#draw(reason === null ? "No server answers. Try again." : wrong(reason));
      field.select();
      field.focus();
      return;
    }
    field.value = "";
    this.#keep(token);
    this.closed = false;
    this.#draw("");
    this.#changed();
  }

  #draw(words) {
    text(this.#parts.error, words);
    show(this.#parts.root, this.closed);
  }

  #keep(token) {
    this.token = token;
    try {
      if (token === null) sessionStorage.removeItem(KEY);
      else sessionStorage.setItem(KEY, token);
    } catch {
      // Without storage it lasts as long as the page.
    }
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function ended(reason) {
  return reason === "TOKEN_INVALID" ? "The token has expired or was revoked: bring another one." : wrong(reason);
}

function wrong(reason) {
  switch (reason) {
    case "SCOPE_MISSING": return "This token is not for admin: make one with --scope admin.";
    case "RATE_LIMITED": return "Too many tries. Try again in a moment.";
    default: return "This token is wrong, or has expired.";
  }
}
