/** The live timeline: one stream that goes on at another server, with nothing missed or doubled. */

import { ApiError, FETCH, backoff, sleep, stopper } from "./api.js";
import * as seq from "./seq.js";
import { EventParser } from "./sse.js";

/** Until the answer starts; a hung server does not answer. */
const OPEN_MS = 1_000;
/** Until the first event: a server that has just started may have to catch up. */
const FIRST_EVENT_MS = 5_000;
/** A heartbeat comes after 15 s of silence. */
const SILENCE_MS = 20_000;
const WATCH_EVERY_MS = 1_000;
/** A gap shorter than this is not worth a word. */
const QUIET_MS = 150;
/** A server alone is restarted faster than this: no reason to say that none answers. */
const DOWN_MS = 500;
const BACKOFF_MAX_MS = 2_000;
/** However long a server asks to wait. */
const LIMITED_MAX_MS = 60_000;

/**
 * @typedef {object} Listener
 * @property {() => Promise<string>} start gives the seq after which the stream starts
 * @property {(post: import("./timeline.js").Post) => void} post
 * @property {(id: string) => void} deleted
 * @property {(state: "live" | "reconnecting" | "down") => void} state
 * @property {(server: string, afterMs: number, moved: boolean) => void} resumed
 * @property {(error: ApiError) => void} refused the stream ended for good
 */

export class Live {
  #api;
  #servers;
  /** @type {Listener} */
  #listener;
  /** The last id handled; the stream resumes after it. @type {string | null} */
  #last = null;
  /** @type {import("./servers.js").Server | null} */
  #server = null;
  /** When the stream was lost (monotonic ms); null while it runs. @type {number | null} */
  #lostAt = null;
  /** The origin that the stream ran on before. */
  #previous = "";
  #failed = 0;
  #quiet = 0;
  /** Of the whole, and of the present attempt or pause. */
  #whole = new AbortController();
  #attempt = null;
  #heardAt = 0;
  #patience = OPEN_MS;

  /**
   * @param {import("./api.js").Api} api
   * @param {import("./servers.js").Servers} servers
   * @param {Listener} listener
   */
  constructor(api, servers, listener) {
    this.#api = api;
    this.#servers = servers;
    this.#listener = listener;
  }

  /** Runs until `stop`. */
  async run() {
    const { signal } = this.#whole;
    const watch = setInterval(() => this.#check(), WATCH_EVERY_MS);
    // Timers sleep with the machine and are slow in the background: look at once on waking up.
    const wake = () => {
      if (document.hidden) return;
      if (this.#server) this.#check();
      else this.#attempt?.abort();
    };
    document.addEventListener("visibilitychange", wake, { signal });
    window.addEventListener("online", wake, { signal });
    window.addEventListener("pageshow", wake, { signal });
    try {
      this.#lost();
      while (!signal.aborted) await this.#once(signal);
    } finally {
      clearInterval(watch);
      clearTimeout(this.#quiet);
    }
  }

  stop() {
    this.#whole.abort();
  }

  /** One stream, from start to end, and the pause after it. */
  async #once(signal) {
    let server = null;
    let limitedMs = 0;
    const { token } = this.#api;
    try {
      this.#last ??= await this.#listener.start();
      if (signal.aborted) return;
      server = this.#servers.pick();
      await this.#read(server, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError) {
        // Another password ends the stream: it goes on at once with the token that came of it.
        if (error.kind === "denied" && await this.#api.renewed(token)) {
          if (!signal.aborted) this.#lost();
          return;
        }
        if (signal.aborted) return;
        if (error.kind === "denied" || error.kind === "invalid") {
          this.stop();
          this.#listener.refused(error);
          return;
        }
        // Another server would say the same: this is about the reader, not about the server.
        if (error.reason === "RATE_LIMITED") limitedMs = Math.min(error.retryAfterMs ?? 0, LIMITED_MAX_MS);
      }
    }
    if (signal.aborted) return;
    if (limitedMs > 0) {
      this.#lost();
      await this.#pause(limitedMs, signal);
      return;
    }
    if (server) this.#servers.shun(server);
    this.#lost();
    this.#failed += 1;
    const round = this.#failed > this.#servers.count && performance.now() - this.#lostAt > DOWN_MS;
    // Without a start, all servers were asked for as long as a call may take.
    if (round || this.#last === null) {
      clearTimeout(this.#quiet);
      this.#listener.state("down");
    }
    if (!this.#servers.spare) await this.#pause(backoff(this.#failed, BACKOFF_MAX_MS), signal);
  }

  async #pause(ms, signal) {
    this.#attempt = stopper(ms, signal);
    // Longer than the stopper, which ends it: by time, by `stop`, or because the page woke up.
    await sleep(ms * 2, this.#attempt.signal).catch(() => {});
    this.#attempt.done();
  }

  async #read(server, signal) {
    const headers = { accept: "text/event-stream", "last-event-id": this.#last };
    if (this.#api.token) headers.authorization = `Bearer ${this.#api.token}`;
    const attempt = stopper(OPEN_MS, signal);
    this.#attempt = attempt;
    try {
      const response = await fetch(new URL("/api/v1/timeline", server.origin), {
        headers, signal: attempt.signal, ...FETCH,
      });
      if (!response.ok) throw ApiError.of(response.status, await response.json().catch(() => null));
      attempt.inTime();
      this.#heard(FIRST_EVENT_MS);
      this.#server = server;
      const parser = new EventParser((event) => this.#handle(event, server));
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        this.#heard(SILENCE_MS);
        parser.push(decoder.decode(value, { stream: true }));
      }
    } finally {
      this.#server = null;
      // Also ends a stream that is still open, when it was left because of what it said.
      attempt.abort();
      attempt.done();
    }
  }

  #handle({ type, data, id }, server) {
    const value = JSON.parse(data);
    if (type === "error") throw ApiError.of(0, value);
    if (this.#lostAt !== null) this.#resumed(server);
    const at = type === "heartbeat" ? value.seq : id;
    // A server may repeat what was handled already; then it is not news.
    if (!seq.isSeq(at) || seq.compare(at, this.#last) <= 0) return;
    if (type === "post") this.#listener.post(value);
    if (type === "deleted") this.#listener.deleted(value.id);
    this.#last = at;
    this.#api.note(at);
  }

  #resumed(server) {
    const name = this.#servers.nameOf(server);
    const after = performance.now() - this.#lostAt;
    const moved = this.#previous !== "" && this.#previous !== server.origin;
    clearTimeout(this.#quiet);
    this.#lostAt = null;
    this.#failed = 0;
    this.#previous = server.origin;
    this.#servers.works(server);
    this.#listener.resumed(name, after, moved);
    this.#listener.state("live");
  }

  #lost() {
    if (this.#lostAt !== null) return;
    this.#lostAt = performance.now();
    this.#quiet = setTimeout(() => this.#listener.state("reconnecting"), QUIET_MS);
  }

  #heard(patience) {
    // The clock on the wall, since it goes on while the machine sleeps.
    this.#heardAt = Date.now();
    this.#patience = patience;
  }

  #check() {
    if (this.#server && Date.now() - this.#heardAt > this.#patience) this.#attempt?.abort();
  }
}
