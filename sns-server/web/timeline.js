/**
 * What a page of posts holds: a window over a list without end. Pure data, newest first.
 *
 * The window has at most [`POSTS_MAX`] posts. What falls off at the lower end is loaded again by
 * its id. What falls off at the upper end, because the reader scrolled back far, leaves a mark: the
 * id of the newest post of the piece, from which the piece can be loaded again. New posts that must
 * not move what is being read wait beside the window and become marks as well when there are many.
 */

import * as seq from "./seq.js";

export const POSTS_MAX = 400;
/** Posts between two marks. */
const PIECE = 100;
/** Marks kept: half a million posts between the reader and the newest one. */
const MARKS_MAX = 5_000;
/** Deletions remembered, against pages that were on their way when they happened. */
const GONE_MAX = 1_000;

/**
 * @typedef {object} Post
 * @property {string} id
 * @property {string} author
 * @property {string} text
 * @property {string} created_at
 */

export class Timeline {
  /** The window. @type {Post[]} */
  posts = [];
  /** There are older ones than those in the window. */
  older = false;
  /** Posts that came while the reader was elsewhere. */
  unseen = 0;
  /** New ones, next to the window or to the last mark. @type {Post[]} */
  #waiting = [];
  /** Of the pieces above the window, the nearest first. @type {string[]} */
  #marks = [];
  /** Marks were dropped: the way up ends in a jump. */
  #torn = false;
  /** @type {Set<string>} */
  #gone = new Set();

  /** There is something newer than the window. */
  get above() {
    return this.#waiting.length > 0 || this.#marks.length > 0 || this.#torn;
  }

  /** `before` for the piece next above the window; null: what is above waits here, or nothing is. */
  get newerThan() {
    return this.#marks.length > 0 ? seq.after(this.#marks[0]) : null;
  }

  /** The way up is lost: only starting anew at the newest leads there. */
  get torn() {
    return this.#torn && this.#marks.length === 0;
  }

  /**
   * A first page is about to be read, from a state that includes all that came so far: nothing that
   * waits is needed any more. What comes from now on is kept until `start`.
   */
  begin() {
    this.#waiting = [];
    this.#marks = [];
    this.#torn = false;
  }

  /**
   * Takes in the first page, in place of the window.
   * @param {Post[]} page
   * @param {boolean} older
   */
  start(page, older) {
    const newest = page[0]?.id ?? "0";
    this.posts = this.posts.filter((post) => seq.compare(post.id, newest) > 0);
    this.posts = this.#merged(page);
    this.older = older;
    this.#trimOlder();
    this.release();
  }

  /** There is no first page: the window stays, but nothing newer is next to it. */
  fail() {
    this.#torn = true;
  }

  /**
   * A post that has just been made.
   * @param {Post} post
   * @param {boolean} hold it must wait, for the reader is reading
   */
  add(post, hold) {
    if (this.#gone.has(post.id) || this.#has(post.id)) return;
    if (!hold && !this.above) {
      insert(this.posts, post);
      this.#trimOlder();
      return;
    }
    this.unseen += 1;
    if (this.#torn) return;
    insert(this.#waiting, post);
    if (this.#waiting.length >= 2 * PIECE) {
      this.#marks.push(this.#waiting[PIECE].id);
      this.#waiting.length = PIECE;
      this.#tear();
    }
  }

  /**
   * Lets those who wait in, when they are next to the window. Gives whether any did.
   */
  release() {
    if (this.#waiting.length === 0 || this.#marks.length > 0 || this.#torn) return false;
    this.posts = this.#merged(this.#waiting);
    this.#waiting = [];
    this.#trimOlder();
    return true;
  }

  /**
   * @param {Post[]} page
   * @param {boolean} older
   */
  addOlder(page, older) {
    this.posts = this.#merged(page);
    this.older = older;
    while (this.posts.length > POSTS_MAX) {
      this.#marks.unshift(this.posts[0].id);
      this.posts.splice(0, PIECE);
    }
    this.#tear();
  }

  /**
   * The piece that was asked for with `newerThan`.
   * @param {Post[]} piece
   */
  addNewer(piece) {
    this.#marks.shift();
    this.posts = this.#merged(piece);
    this.#trimOlder();
  }

  /** @param {string} id */
  remove(id) {
    this.#gone.add(id);
    if (this.#gone.size > GONE_MAX) this.#gone.delete(this.#gone.values().next().value);
    this.posts = this.posts.filter((post) => post.id !== id);
    const waiting = this.#waiting.length;
    this.#waiting = this.#waiting.filter((post) => post.id !== id);
    this.unseen -= waiting - this.#waiting.length;
  }

  /** @param {string} author */
  removeAuthor(author) {
    this.posts = this.posts.filter((post) => post.author !== author);
    this.#waiting = this.#waiting.filter((post) => post.author !== author);
    this.unseen = this.#waiting.length;
  }

  #has(id) {
    return this.posts.some((post) => post.id === id) || this.#waiting.some((post) => post.id === id);
  }

  /** The window with these, each once, without deleted ones. */
  #merged(others) {
    const known = new Set(this.posts.map((post) => post.id));
    const fresh = others.filter((post) => !known.has(post.id) && !this.#gone.has(post.id));
    return [...this.posts, ...fresh].sort((a, b) => seq.compare(b.id, a.id));
  }

  #trimOlder() {
    if (this.posts.length <= POSTS_MAX) return;
    this.posts.length = POSTS_MAX;
    this.older = true;
  }

  #tear() {
    if (this.#marks.length <= MARKS_MAX) return;
    this.#marks.length = MARKS_MAX;
    this.#waiting = [];
    this.#torn = true;
  }
}

/** Puts a post in its place; it is nearly always the first. */
function insert(posts, post) {
  let at = 0;
  while (at < posts.length && seq.compare(posts[at].id, post.id) > 0) at += 1;
  posts.splice(at, 0, post);
}
