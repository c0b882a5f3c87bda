/** Which servers there are, which of them failed a moment ago, and whom to ask next. */

import { originOf } from "./origin.js";

/** How long a server that failed is passed over. */
const SHUN_MS = 1_000;
/** More servers than this are not remembered. */
const SERVERS_MAX = 64;

/**
 * @typedef {object} Server
 * @property {string} name as the operator knows it; its host until the list is known
 * @property {string} origin e.g. `http://127.0.0.1:7409`
 */

export class Servers {
  /** @type {Server[]} */
  #list;
  /** @type {Server} */
  #current;
  /** Until when (ms of the monotonic clock) an origin is passed over. @type {Map<string, number>} */
  #shunned = new Map();
  #home;
  /** How names are had here: `accounts` with a password, `open` without; empty until a server said it. */
  auth = "";
  /** Called when a server said what is the case here. */
  onLearned = () => {};

  /** @param {string} home the origin that the page came from: good for a start */
  constructor(home) {
    this.#home = home;
    this.#current = { name: new URL(home).host, origin: home };
    this.#list = [this.#current];
  }

  get count() {
    return this.#list.length;
  }

  /**
   * Takes over the answer of `GET /api/v1/servers`. An empty list changes nothing.
   * @param {{self: string, auth?: string, servers: {name: string, http: string}[]}} answer
   * @param {string} asked the origin that gave it
   */
  learn(answer, asked) {
    const list = [];
    for (const { name, http } of answer.servers.slice(0, SERVERS_MAX)) {
      // A server may be reached under another spelling than it announces, such as localhost. The
      // one that worked is kept: to the browser the other one would be a foreign origin.
      const known = this.#list.find((server) => server.name === name);
      const spelled = name === answer.self ? asked : known?.origin === this.#home ? this.#home : http;
      const origin = originOf(spelled, this.#home);
      if (origin) list.push({ name, origin });
    }
    this.auth = answer.auth === "accounts" ? "accounts" : "open";
    this.onLearned();
    if (list.length === 0) return;
    this.#list = list;
    this.#current = list.find((server) => server.origin === this.#current.origin) ?? list[0];
    for (const origin of this.#shunned.keys()) {
      if (!list.some((server) => server.origin === origin)) this.#shunned.delete(origin);
    }
  }

  /** The server to ask now: the present one as long as it works, else any other that may work. */
  pick() {
    if (this.#fit(this.#current)) return this.#current;
    const fit = this.#list.filter((server) => this.#fit(server));
    // At random, so that the users of a dead server do not all turn to the same one.
    this.#current = fit[Math.floor(Math.random() * fit.length)] ?? this.#leastShunned();
    return this.#current;
  }

  /** Whether a server stands ready that did not fail within the last second. */
  get spare() {
    return this.#list.some((server) => this.#fit(server));
  }

  /** @param {Server} server */
  shun(server) {
    this.#shunned.set(server.origin, performance.now() + SHUN_MS);
  }

  /** @param {Server} server */
  works(server) {
    this.#shunned.delete(server.origin);
  }

  /** The present name of a server that was picked before the list was known. @param {Server} server */
  nameOf(server) {
    return this.#list.find((known) => known.origin === server.origin)?.name ?? server.name;
  }

  #fit(server) {
    return (this.#shunned.get(server.origin) ?? 0) <= performance.now();
  }

  #leastShunned() {
    const until = (server) => this.#shunned.get(server.origin) ?? 0;
    return this.#list.reduce((least, server) => (until(server) < until(least) ? server : least));
  }
}
