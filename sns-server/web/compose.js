/** Writing a post: counts like the server, keeps the draft, never posts twice. */

import { ApiError } from "./api.js";
import { el } from "./dom.js";
import { say, worded } from "./notices.js";

/**
 * Unicode scalar values of a post. The server's other bound, 4,000 bytes, follows from it: no
 * scalar takes more than four.
 */
const SCALARS_MAX = 1_000;
/** From here on the counter speaks up. */
const SCALARS_NEAR = 900;

export class Compose {
  #api;
  #posted;
  #key;
  #sending = false;
  /**
   * A post that was sent and has no outcome: on its way, or nobody knows.
   * @type {{text: string, ticket: import("./api.js").Ticket} | null}
   */
  #open = null;
  #text;
  #count;
  #submit;
  #note;

  /**
   * @param {import("./api.js").Api} api
   * @param {string} me
   * @param {(post: import("./timeline.js").Post) => void} posted
   */
  constructor(api, me, posted) {
    this.#api = api;
    this.#posted = posted;
    this.#key = `sns.draft.${me}`;
    this.#text = el("textarea", {
      id: "compose-text", rows: "2", placeholder: "What is new?", dir: "auto",
      "aria-label": "Text of a new post", "aria-describedby": "compose-count",
      on: { input: () => this.#changed(), keydown: (event) => this.#pressed(event) },
    });
    this.#count = el("span", { id: "compose-count", class: "count" });
    this.#submit = el("button", { id: "compose-submit", type: "submit", class: "primary", text: "Post" });
    this.#note = el("div", { class: "compose-note", role: "alert" });
    this.root = el("form", {
      id: "compose", "aria-label": "New post",
      on: { submit: (event) => this.#submitted(event) },
    }, this.#text, this.#note, el("div", { class: "row" }, this.#count, this.#submit));
    this.#restore();
    this.#draw();
  }

  focus() {
    this.#text.focus();
  }

  #pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.#send();
    }
    if (event.key === "Escape") this.#text.blur();
  }

  #submitted(event) {
    event.preventDefault();
    this.#send();
  }

  #changed() {
    this.#note.replaceChildren();
    this.#keep();
    this.#draw();
  }

  #value() {
    // Half a surrogate pair is no character; it would become this on the way to the server anyway.
    return this.#text.value.toWellFormed?.() ?? this.#text.value;
  }

  #draw() {
    const scalars = count(this.#text.value);
    this.#count.textContent = scalars === 0 ? "" : `${scalars.toLocaleString("en")} / ${SCALARS_MAX.toLocaleString("en")}`;
    this.#count.classList.toggle("near", scalars >= SCALARS_NEAR);
    this.#count.classList.toggle("over", scalars > SCALARS_MAX);
    const held = this.#open !== null;
    const fit = scalars <= SCALARS_MAX && this.#text.value.trim() !== "";
    this.#submit.disabled = held || !fit;
    this.#text.readOnly = held;
    this.#submit.textContent = this.#sending ? "Posting…" : "Post";
  }

  #send() {
    if (!this.#submit.disabled) this.#sendAs(this.#value(), this.#api.ticket(), false);
  }

  /** @param {string} text @param {import("./api.js").Ticket} ticket @param {boolean} unsure */
  async #sendAs(text, ticket, unsure) {
    this.#sending = true;
    this.#open = { text, ticket };
    // Before it is sent: a page that is loaded again on the way must not post it a second time.
    this.#keep();
    this.#note.replaceChildren();
    this.#draw();
    try {
      const { post } = await this.#api.write("/posts", { text }, ticket, unsure);
      this.#open = null;
      this.#text.value = "";
      say("Posted.");
      this.#posted(post);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#open = error.kind === "unknown" ? { text, ticket: error.ticket } : null;
      if (this.#open) this.#askAgain();
      else if (error.kind !== "denied") this.#note.replaceChildren(el("p", { text: worded(error) }));
    } finally {
      this.#sending = false;
      this.#keep();
      this.#draw();
    }
  }

  /** The outcome is unknown: the same intent can be sent again, or given up. */
  #askAgain() {
    const { text, ticket } = this.#open;
    const again = el("button", {
      type: "button", id: "compose-again", text: "Try again",
      on: { click: () => this.#sendAs(text, ticket, true) },
    });
    const leave = el("button", {
      type: "button", class: "quiet", text: "Leave it",
      on: {
        click: () => {
          this.#open = null;
          this.#changed();
          this.focus();
        },
      },
    });
    const words = "No server could tell whether this was posted. Trying again is safe: it is posted at most once.";
    this.#note.replaceChildren(el("p", { text: words }), el("div", { class: "row" }, leave, again));
  }

  #keep() {
    try {
      if (this.#text.value === "") sessionStorage.removeItem(this.#key);
      else sessionStorage.setItem(this.#key, JSON.stringify({ text: this.#text.value, open: this.#open }));
    } catch {
      // Without storage the draft lives as long as the page.
    }
  }

  #restore() {
    try {
      const { text, open } = JSON.parse(sessionStorage.getItem(this.#key)) ?? {};
      if (typeof text !== "string") return;
      this.#text.value = text;
      if (!open) return;
      this.#open = open;
      this.#askAgain();
    } catch {
      // No draft, or not one of ours.
    }
  }
}

/** Unicode scalar values, not UTF-16 units. @param {string} text */
function count(text) {
  let scalars = 0;
  for (const _ of text) scalars += 1;
  return scalars;
}
