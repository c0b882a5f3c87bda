/** Whom the reader follows, and the buttons that show and change it. */

import { ApiError } from "./api.js";
import { el } from "./dom.js";
import { notice, worded } from "./notices.js";

const PAGE = 200;
/** More than this are not remembered; such a button says "Follow" until the server says otherwise. */
const FOLLOWS_MAX = 20_000;

export class Follows {
  #api;
  #me;
  /** @type {Set<string>} */
  #names = new Set();
  #known = false;
  /** What was changed here while the list was being loaded. @type {Map<string, boolean>} */
  #changes = new Map();
  #busy = new Set();
  /** @type {(name: string, followed: boolean) => void} */
  #changed;

  /**
   * @param {import("./api.js").Api} api
   * @param {string} me
   * @param {(name: string, followed: boolean) => void} changed
   */
  constructor(api, me, changed) {
    this.#api = api;
    this.#me = me;
    this.#changed = changed;
  }

  /** Loads the list; throws what a read throws. @param {AbortSignal} signal */
  async load(signal) {
    const names = new Set();
    let page_token = "";
    do {
      const page = await this.#api.read(`/users/${this.#me}/following`, { limit: PAGE, page_token }, signal);
      for (const user of page.users) names.add(user.username);
      page_token = page.next_page_token;
    } while (page_token && names.size < FOLLOWS_MAX);
    for (const [name, followed] of this.#changes) {
      if (followed) names.add(name);
      else names.delete(name);
    }
    this.#changes.clear();
    this.#names = names;
    this.#known = true;
    for (const button of document.querySelectorAll("button[data-follow]")) this.#show(button);
  }

  get known() {
    return this.#known;
  }

  /** A button for everyone but the reader. @param {string} name */
  button(name) {
    const button = el("button", {
      type: "button", class: "follow", "data-follow": name, "aria-label": `Follow ${name}`,
      on: { click: () => this.#toggle(name) },
    });
    this.#show(button);
    return button;
  }

  /** Brings a button up to date that was out of the page for a while. @param {ParentNode} root */
  refresh(root) {
    for (const button of root.querySelectorAll("button[data-follow]")) this.#show(button);
  }

  #show(button) {
    const name = button.dataset.follow;
    const followed = this.#names.has(name);
    const waits = !this.#known || this.#busy.has(name);
    // Not `disabled`, which would take the focus away from under the keyboard.
    button.setAttribute("aria-disabled", String(waits));
    button.setAttribute("aria-pressed", String(followed));
    button.textContent = followed ? "Following" : "Follow";
  }

  #showAll(name) {
    for (const button of document.querySelectorAll(`button[data-follow="${name}"]`)) this.#show(button);
  }

  #toggle(name) {
    if (this.#known && !this.#busy.has(name)) this.#set(name, !this.#names.has(name));
  }

  /** @param {string} name @param {boolean} follow @param {import("./api.js").Ticket} [again] */
  async #set(name, follow, again) {
    this.#busy.add(name);
    this.#showAll(name);
    try {
      await this.#api.write(follow ? "/follow" : "/unfollow", { username: name }, again, again !== undefined);
      this.#settled(name, follow);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // It is so already, say from another tab: what was wanted.
      const already = error.reason === "ALREADY_FOLLOWING" || error.reason === "NOT_FOLLOWING";
      if (already) this.#settled(name, follow);
      else if (error.kind === "unknown") {
        notice(`No server could tell whether you ${follow ? "follow" : "stopped following"} ${name}.`, {
          label: "Try again", run: () => this.#set(name, follow, error.ticket),
        });
      } else if (error.kind !== "denied") notice(worded(error));
    } finally {
      this.#busy.delete(name);
      this.#showAll(name);
    }
  }

  #settled(name, followed) {
    if (followed) this.#names.add(name);
    else this.#names.delete(name);
    if (!this.#known) this.#changes.set(name, followed);
    this.#changed(name, followed);
  }
}
