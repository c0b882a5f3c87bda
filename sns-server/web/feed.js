/** A list of posts on the page: draws a [`Timeline`], loads its ends, keeps still what is being read. */

import { ApiError } from "./api.js";
import { Frame, avatar, barHeight, el, moveFocus, time, userHref, userLink } from "./dom.js";
import { noSuchUser, notice, say, worded } from "./notices.js";
import * as seq from "./seq.js";
import { Timeline } from "./timeline.js";

const PAGE = 50;
/** A piece that was left on the way back, with room for posts of users followed since. */
const PIECE_PAGE = 200;
const PIECE_PAGES_MAX = 5;
/** Nearer to the top than this the reader is "at the top" and new posts come in as they are made. */
const TOP_PX = 40;
/** The next piece is loaded when this much is left to scroll. */
const AHEAD_PX = 1_000;
const SKELETON_AFTER_MS = 200;
/** More lines than this are folded. Only those that the author made: 1,000 characters are no trouble. */
const LINES_MAX = 16;
/** So few new posts slide in; more just appear. */
const SLIDE_MAX = 3;
/** Posts slide in only after so long without one: in a busy feed the sliding would never end, and cost most of the work. */
const CALM_MS = 1_000;

/**
 * @typedef {object} FeedOptions
 * @property {import("./api.js").Api} api
 * @property {string} me
 * @property {string} path of the pages, below `/api/v1`
 * @property {string} label
 * @property {() => Node[]} empty what to say when there are no posts
 * @property {(id: string) => void} deleted a post was deleted from here
 * @property {AbortSignal} signal ends all loading
 */

export class Feed {
  #options;
  #timeline = new Timeline();
  #frame = new Frame(() => this.#draw());
  /** @type {Map<string, HTMLElement>} */
  #nodes = new Map();
  #attached = false;
  #grewAt = 0;
  #atTop = true;
  /** The first page is there. */
  #loaded = false;
  /** One end is being loaded; the other has to wait. */
  #loading = false;
  #failed = false;
  /** What is on the screen stays there in the next frame, also at the top. */
  #still = false;

  #list;
  #pill;
  #older;
  #skeleton;
  #note;
  #observer;

  /** @param {FeedOptions} options */
  constructor(options) {
    this.#options = options;
    this.#pill = el("button", {
      id: "new-posts", type: "button", hidden: true,
      on: { click: (event) => this.#pillPressed(event) },
    });
    this.#list = el("div", {
      id: "feed", role: "feed", "aria-label": options.label, "aria-busy": "true",
      on: {
        focusin: (event) => this.#rove(event.target.closest("article")),
        focusout: () => queueMicrotask(() => this.#settle(false)),
      },
    });
    this.#older = el("button", {
      id: "load-older", type: "button", class: "quiet", hidden: true,
      on: { click: () => this.loadOlder() },
    });
    this.#skeleton = el("div", { class: "skeleton", hidden: true, "aria-hidden": "true" });
    for (let row = 0; row < 4; row += 1) this.#skeleton.append(el("div", { class: "bone" }));
    this.#note = el("div", { class: "empty", hidden: true });
    const skip = el("button", {
      type: "button", class: "skip", text: "Skip the posts",
      on: { click: () => (this.#older.hidden ? this.#list.lastElementChild : this.#older)?.focus() },
    });
    this.root = el("section", { class: "feed", "aria-label": options.label },
      el("div", { class: "pill" }, this.#pill), skip, this.#skeleton, this.#list, this.#note,
      el("div", { class: "foot" }, this.#older));
    this.#observer = new IntersectionObserver(
      (entries) => {
        if (entries.at(-1).isIntersecting && !this.#failed) this.loadOlder();
      },
      { rootMargin: `0px 0px ${AHEAD_PX}px 0px` },
    );
  }

  /** Posts that came and are not shown yet. */
  get unseen() {
    return this.#timeline.unseen;
  }

  /** The view came onto the page. */
  attach() {
    this.#attached = true;
    this.#frame.now();
    this.#observer.observe(this.#older);
  }

  /** The view is about to leave the page. */
  detach() {
    this.#attached = false;
    this.#frame.drop();
    this.#observer.disconnect();
  }

  /** Gives the seq of the state that the first page shows; throws what a read throws. */
  async load() {
    const { api, path, signal } = this.#options;
    const patience = setTimeout(() => {
      this.#skeleton.hidden = this.#loaded;
    }, SKELETON_AFTER_MS);
    this.#loading = true;
    this.#timeline.begin();
    try {
      const page = await api.read(path, { limit: PAGE }, signal);
      this.#timeline.start(page.posts, page.next_page_token !== "");
      this.#timeline.unseen = 0;
      this.#loaded = true;
      this.#failed = false;
      return page.seq;
    } catch (error) {
      this.#timeline.fail();
      this.#failed = true;
      if (!this.#loaded && error instanceof ApiError) this.#sayFailed(error);
      throw error;
    } finally {
      clearTimeout(patience);
      this.#skeleton.hidden = true;
      this.#loading = false;
      this.#ask();
      this.#observeAgain();
    }
  }

  /** A server answers again: what failed is tried again without being asked for. */
  retry() {
    if (!this.#failed || this.#loading) return;
    this.#failed = false;
    if (!this.#loaded) this.load().catch(ignore);
    else this.#observeAgain();
  }

  /** @param {import("./timeline.js").Post} post one that was just made */
  add(post) {
    const reading = this.#reading();
    if (!reading) this.#timeline.release();
    this.#timeline.add(post, reading);
    this.#ask();
  }

  /** @param {string} id */
  remove(id) {
    this.#timeline.remove(id);
    this.#ask();
  }

  /** @param {string} author */
  removeAuthor(author) {
    this.#timeline.removeAuthor(author);
    this.#ask();
  }

  /** Shows the newest posts. */
  async goTop() {
    if (this.#timeline.newerThan !== null || this.#timeline.torn) {
      try {
        await this.load();
      } catch (error) {
        if (error instanceof ApiError && error.kind !== "denied") notice(worded(error));
        return;
      }
    } else this.#timeline.release();
    this.#timeline.unseen = 0;
    this.#atTop = true;
    if (this.#attached) window.scrollTo(0, 0);
    this.#ask();
  }

  /** The reader scrolled, or was put somewhere. */
  scrolled() {
    this.#atTop = window.scrollY <= TOP_PX;
    if (!this.#timeline.above) return;
    const near = this.#list.getBoundingClientRect().top > barHeight() - AHEAD_PX;
    if (this.#timeline.newerThan !== null || this.#timeline.torn) {
      // Writing a post at the top is not reading on upwards.
      if (near && !document.activeElement.closest("#compose")) this.#loadNewer();
    } else this.#settle(true);
  }

  /** @param {number} step */
  move(step) {
    moveFocus([...this.#list.children], step);
  }

  async loadOlder() {
    if (this.#loading || !this.#loaded || !this.#timeline.older) return;
    const { api, path, signal } = this.#options;
    const before = this.#timeline.posts.at(-1)?.id;
    this.#loading = true;
    this.#older.textContent = "Loading…";
    try {
      const page = await api.read(path, { limit: PAGE, before }, signal);
      // Posts may have fallen off the lower end meanwhile; then this page is not the next one.
      if (this.#timeline.posts.at(-1)?.id === before) {
        this.#timeline.addOlder(page.posts, page.next_page_token !== "");
      }
      this.#failed = false;
    } catch (error) {
      if (signal.aborted) return;
      this.#failed = true;
    } finally {
      this.#loading = false;
      this.#ask();
      this.#observeAgain();
    }
  }

  /** Loads the piece above the window again, which fell off when the reader went far back. */
  async #loadNewer() {
    if (this.#loading) return;
    if (this.#timeline.torn) {
      await this.goTop();
      return;
    }
    const { api, path, signal } = this.#options;
    const newest = this.#timeline.posts[0]?.id ?? "0";
    const piece = [];
    this.#loading = true;
    try {
      const from = this.#timeline.newerThan;
      let before = from;
      for (let pages = 0; pages < PIECE_PAGES_MAX; pages += 1) {
        const page = await api.read(path, { limit: PIECE_PAGE, before }, signal);
        piece.push(...page.posts.filter((post) => seq.compare(post.id, newest) > 0));
        before = page.posts.at(-1)?.id;
        if (page.next_page_token === "" || seq.compare(before, newest) <= 0) break;
      }
      // The window may have been started anew meanwhile.
      if (this.#timeline.newerThan !== from) return;
      this.#timeline.addNewer(piece);
      this.#still = true;
    } catch (error) {
      if (!(error instanceof ApiError) && !signal.aborted) throw error;
      // The next scroll tries again.
    } finally {
      this.#loading = false;
      this.#ask();
    }
  }

  /** Whether a new post must not move anything. */
  #reading() {
    if (!this.#atTop) return true;
    if (!this.#attached) return false;
    const focus = document.activeElement;
    // With the mouse only while a question is open: an answer must not move away under it.
    if (this.#list.contains(focus) && focus.matches(":focus-visible, .actions [role=group] *")) return true;
    const selection = document.getSelection();
    return selection !== null && !selection.isCollapsed && this.#list.contains(selection.anchorNode);
  }

  /** Lets waiting posts in when the reader has come to the top, or has left the posts there. */
  #settle(still) {
    if (!this.#attached || this.#reading()) return;
    if (this.#timeline.release()) this.#still = still;
    if (!this.#timeline.above) this.#timeline.unseen = 0;
    this.#ask();
  }

  async #pillPressed(event) {
    await this.goTop();
    this.#frame.now();
    // Pressed by a key: the focus would be lost with the pill.
    if (event.detail === 0) this.#list.firstElementChild?.focus({ preventScroll: true });
  }

  #ask() {
    if (this.#attached) this.#frame.ask();
  }

  /** The observer tells changes only: also a page that did not fill the screen must be followed. */
  #observeAgain() {
    this.#observer.disconnect();
    if (this.#attached) this.#observer.observe(this.#older);
  }

  #draw() {
    const { posts } = this.#timeline;
    const hold = !this.#atTop || this.#still;
    this.#still = false;
    const anchor = hold ? this.#anchor() : null;
    const before = anchor?.getBoundingClientRect().top;

    const wanted = new Set(posts.map((post) => post.id));
    const focused = document.activeElement.closest("#feed > article");
    const focusAt = focused && !wanted.has(focused.dataset.id) ? [...this.#list.children].indexOf(focused) : -1;
    for (const [id, node] of this.#nodes) {
      if (wanted.has(id)) continue;
      node.remove();
      this.#nodes.delete(id);
    }
    const grew = this.#nodes.size > 0;
    const fresh = [];
    let at = this.#list.firstElementChild;
    for (const post of posts) {
      const node = this.#nodes.get(post.id);
      if (node) {
        // Ids never change their order, so what is there is in its place.
        at = node.nextElementSibling;
        continue;
      }
      const made = this.#article(post);
      this.#nodes.set(post.id, made);
      this.#list.insertBefore(made, at);
      fresh.push(made);
    }
    if (fresh.length > 0) {
      const now = performance.now();
      const calm = now - this.#grewAt > CALM_MS;
      this.#grewAt = now;
      if (!hold && grew && calm && fresh.length <= SLIDE_MAX) {
        for (const node of fresh) node.classList.add("fresh");
      }
    }

    this.#drawRest();
    if (focusAt >= 0) {
      const next = this.#list.children[focusAt] ?? this.#list.lastElementChild ?? document.getElementById("main");
      next.focus({ preventScroll: true });
    }
    if (anchor?.isConnected) {
      const moved = anchor.getBoundingClientRect().top - before;
      if (moved !== 0) window.scrollBy({ top: moved, behavior: "instant" });
      this.#atTop = window.scrollY <= TOP_PX;
    }
  }

  /** The pill, the lower end and what is said instead of posts. */
  #drawRest() {
    const { posts, unseen, older, newerThan, torn } = this.#timeline;
    const count = unseen > 999 ? "999+" : unseen;
    this.#pill.hidden = unseen === 0 && newerThan === null && !torn;
    this.#pill.textContent = unseen > 0 ? `${count} new post${unseen === 1 ? "" : "s"}` : "Back to the newest";
    this.#list.setAttribute("aria-busy", String(this.#loading));
    this.#older.hidden = !this.#loaded || !older;
    this.#older.textContent = this.#failed ? "Could not load older posts. Try again" : "Load older posts";
    if (this.#loaded) {
      this.#note.hidden = posts.length > 0 || older;
      if (!this.#note.hidden) this.#note.replaceChildren(...this.#options.empty());
    }
    if (!this.#list.querySelector(':scope > [tabindex="0"]')) this.#rove(this.#list.firstElementChild);
  }

  #sayFailed(error) {
    const again = el("button", {
      type: "button", text: "Try again",
      on: { click: () => this.load().catch(ignore) },
    });
    this.#note.hidden = false;
    if (noSuchUser(error)) this.#note.replaceChildren(el("p", { text: "There is no such user." }));
    else this.#note.replaceChildren(el("p", { text: `The posts could not be loaded. ${worded(error)}` }), again);
  }

  /** One article is in the order of the Tab key at a time; `j` and `k` go on from there. */
  #rove(article) {
    if (!article || article.tabIndex === 0) return;
    for (const other of this.#list.querySelectorAll(':scope > [tabindex="0"]')) other.tabIndex = -1;
    article.tabIndex = 0;
  }

  /** The first article on the screen that will stay. */
  #anchor() {
    const top = barHeight();
    const wanted = new Set(this.#timeline.posts.map((post) => post.id));
    for (const node of this.#list.children) {
      if (wanted.has(node.dataset.id) && node.getBoundingClientRect().bottom > top) return node;
    }
    return null;
  }

  #article(post) {
    const head = el("header", {}, userLink(post.author), time(post.created_at));
    const text = el("p", { class: "text", dir: "auto", text: post.text });
    const body = el("div", { class: "body" }, head, text);
    if (post.author === this.#options.me) head.append(this.#deleteButton(post.id));
    if (post.text.split(LINE_END, LINES_MAX + 1).length > LINES_MAX) {
      text.classList.add("folded");
      const unfold = el("button", {
        type: "button", class: "link", text: "Show all of it",
        on: {
          click: () => {
            text.classList.remove("folded");
            unfold.remove();
            body.closest("article").focus({ preventScroll: true });
          },
        },
      });
      body.append(unfold);
    }
    // The name beside it leads to the same place; one stop of the Tab key is enough.
    const picture = el("a", {
      class: "picture", href: userHref(post.author), tabindex: "-1", "aria-hidden": "true",
    }, avatar(post.author));
    const named = { "data-id": post.id, tabindex: "-1", "aria-label": `Post of ${post.author}` };
    return el("article", named, picture, body);
  }

  #deleteButton(id) {
    const slot = el("span", { class: "actions" });
    const ask = el("button", { type: "button", class: "quiet delete", text: "Delete" });
    const no = el("button", { type: "button", class: "quiet no", text: "No" });
    const yes = el("button", { type: "button", class: "quiet yes", text: "Yes", "aria-label": "Yes, delete it" });
    const question = el("span", { role: "group", "aria-label": "Delete this post?" },
      el("span", { text: "Delete?" }), no, yes);
    const close = () => {
      slot.replaceChildren(ask);
      ask.focus();
    };
    ask.addEventListener("click", () => {
      slot.replaceChildren(question);
      // On the answer that does no harm; Tab leads to the other one.
      no.focus();
    });
    no.addEventListener("click", close);
    question.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
    yes.addEventListener("click", () => {
      close();
      this.#delete(id);
    });
    slot.append(ask);
    return slot;
  }

  /** @param {string} id @param {import("./api.js").Ticket} [again] */
  async #delete(id, again) {
    this.#nodes.get(id)?.classList.add("leaving");
    try {
      await this.#options.api.deletePost(id, again, again !== undefined);
      this.#options.deleted(id);
      say("Deleted.");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#nodes.get(id)?.classList.remove("leaving");
      if (error.reason === "POST_NOT_FOUND") this.#options.deleted(id);
      else if (error.kind === "unknown") {
        notice("No server could tell whether the post was deleted.", {
          label: "Try again", run: () => this.#delete(id, error.ticket),
        });
      } else if (error.kind !== "denied") notice(worded(error));
    }
  }
}

const LINE_END = /\r\n|[\n\v\f\r\u0085\u2028\u2029]/;

/** For loads whose failure is shown in the list itself. */
function ignore() {}
