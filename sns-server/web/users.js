/** A list of users on the page, each with a follow button; paged in both directions. */

import { ApiError } from "./api.js";
import { avatar, el, moveFocus, userLink } from "./dom.js";
import { noSuchUser, worded } from "./notices.js";

const PAGE = 100;
/** Pages on the screen at a time. */
const PAGES_MAX = 4;

/**
 * @typedef {object} UsersOptions
 * @property {import("./api.js").Api} api
 * @property {import("./follows.js").Follows} follows
 * @property {string} me
 * @property {string} path of the pages, below `/api/v1`
 * @property {string} label
 * @property {() => Node[]} empty what to say when there are none
 * @property {AbortSignal} signal
 */

export class Users {
  #options;
  /** The tokens of the pages on the screen, in order; the first page of all has "". @type {string[]} */
  #shown = [];
  /** Tokens of pages that fell off the upper end, the nearest last. @type {string[]} */
  #above = [];
  /** Token of the page after the last one; null: there is none. @type {string | null} */
  #next = "";
  #loading = false;
  #failed = false;
  #attached = false;
  #list;
  #earlier;
  #later;
  #note;
  #observer;

  /** @param {UsersOptions} options */
  constructor(options) {
    this.#options = options;
    this.#list = el("div", { class: "users" });
    this.#earlier = el("button", {
      type: "button", class: "quiet", text: "Load earlier names", hidden: true,
      on: { click: () => this.#loadEarlier() },
    });
    this.#later = el("button", {
      type: "button", class: "quiet", id: "load-more",
      on: { click: () => this.loadOlder() },
    });
    this.#note = el("div", { class: "empty", hidden: true });
    this.root = el("section", { class: "feed", "aria-label": options.label },
      el("div", { class: "foot" }, this.#earlier), this.#list, this.#note, el("div", { class: "foot" }, this.#later));
    this.#observer = new IntersectionObserver((entries) => {
      if (entries.at(-1).isIntersecting && !this.#failed) this.loadOlder();
    }, { rootMargin: "0px 0px 600px 0px" });
    this.#draw();
  }

  attach() {
    this.#attached = true;
    this.#options.follows.refresh(this.root);
    this.#observer.observe(this.#later);
  }

  detach() {
    this.#attached = false;
    this.#observer.disconnect();
  }

  retry() {
    if (!this.#failed) return;
    this.#failed = false;
    this.#observeAgain();
  }

  /** @param {number} step */
  move(step) {
    moveFocus([...this.#list.querySelectorAll(".name")], step);
  }

  /** The next page; called like that of a feed, so that one key serves both. */
  loadOlder() {
    if (this.#next === null) return;
    return this.#load(this.#next, (page, token) => {
      this.#next = page.next_page_token || null;
      this.#shown.push(token);
      this.#list.append(this.#rows(page.users));
      if (this.#shown.length <= PAGES_MAX) return;
      this.#above.push(this.#shown.shift());
      const first = this.#list.firstElementChild;
      // What is being read stays where it is.
      const height = first.getBoundingClientRect().height;
      first.remove();
      window.scrollBy({ top: -height, behavior: "instant" });
    });
  }

  #loadEarlier() {
    const token = this.#above.at(-1);
    if (token === undefined) return;
    return this.#load(token, (page) => {
      this.#above.pop();
      this.#shown.unshift(token);
      const rows = this.#rows(page.users);
      this.#list.prepend(rows);
      window.scrollBy({ top: rows.getBoundingClientRect().height, behavior: "instant" });
      if (this.#shown.length <= PAGES_MAX) return;
      this.#next = this.#shown.pop();
      this.#list.lastElementChild.remove();
    });
  }

  async #load(page_token, take) {
    if (this.#loading) return;
    const { api, path, signal } = this.#options;
    this.#loading = true;
    this.#draw();
    try {
      take(await api.read(path, { limit: PAGE, page_token }, signal), page_token);
      this.#failed = false;
      this.#note.hidden = this.#list.querySelector(".user") !== null || this.#next !== null;
      if (!this.#note.hidden) this.#note.replaceChildren(...this.#options.empty());
    } catch (error) {
      if (!(error instanceof ApiError)) {
        if (signal.aborted) return;
        throw error;
      }
      this.#failed = true;
      this.#note.hidden = false;
      const gone = noSuchUser(error);
      if (gone) this.#next = null;
      this.#note.replaceChildren(el("p", { text: gone ? "There is no such user." : worded(error) }));
    } finally {
      this.#loading = false;
      this.#draw();
      this.#observeAgain();
    }
  }

  #rows(users) {
    const { follows, me } = this.#options;
    const rows = el("div", { role: "list" });
    for (const { username } of users) {
      const end = username === me ? el("span", { class: "muted", text: "you" }) : follows.button(username);
      rows.append(el("div", { class: "user", role: "listitem" }, avatar(username), userLink(username), end));
    }
    return rows;
  }

  #draw() {
    this.#earlier.hidden = this.#above.length === 0;
    this.#later.hidden = this.#next === null;
    this.#later.textContent = this.#loading ? "Loading…" : this.#failed ? "Try again" : "Load more";
  }

  #observeAgain() {
    this.#observer.disconnect();
    if (this.#attached) this.#observer.observe(this.#later);
  }
}
