/** Calls that outlive the server they were sent to. The rules are those of the gRPC client. */

import * as seq from "./seq.js";

/** One call, with all its tries. */
const DEADLINE_MS = 10_000;
/** One try. */
const TRY_MS = 1_000;
const BACKOFF_FIRST_MS = 20;
const BACKOFF_MAX_MS = 500;
/** Servers in a row that may call themselves damaged before the reader is told so. */
const FAULTS_MAX = 2;

const KINDS = new Map([
  [400, "invalid"], [401, "denied"], [403, "denied"], [404, "not_found"], [409, "conflict"],
  [413, "invalid"], [415, "invalid"], [429, "exhausted"], [503, "unavailable"], [504, "unknown"],
]);

/**
 * What names one intent: sent with every try of a write, so that it takes effect once.
 * @typedef {object} Ticket
 * @property {string} request_id
 * @property {string} seen the highest seq known before the first try
 */

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} path below `/api/v1`
 * @property {Record<string, string | number | undefined>} [query]
 * @property {object} [body]
 * @property {Ticket} [ticket] makes it a write
 * @property {boolean} [unsure] the ticket was sent before, in a call whose outcome nobody knows
 * @property {boolean} [door] gives a token or ends it: what is refused is what was typed, and that
 *   is for its writer to see at once
 * @property {AbortSignal} [signal]
 */

/** Why a call failed; `kind` tells what to do about it, the message is for a human. */
export class ApiError extends Error {
  /**
   * @param {string} kind
   * @param {string} reason
   * @param {string} message
   * @param {number} [retryAfterMs] absent: the same call would fail again
   */
  constructor(kind, reason, message, retryAfterMs) {
    super(message);
    this.name = "ApiError";
    this.kind = kind;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
    /** Of a write whose outcome is unknown: repeats it safely. @type {Ticket | undefined} */
    this.ticket = undefined;
    /** An earlier try of the same call may have been done. */
    this.repeated = false;
  }

  /**
   * Of an answer that is not 2xx.
   * @param {number} status
   * @param {unknown} body
   */
  static of(status, body) {
    const error = body?.error;
    if (typeof error?.kind !== "string") {
      // Not in the words of the contract: something on the way answered, or broke.
      const kind = status >= 500 ? "lost" : KINDS.get(status) ?? "internal";
      return new ApiError(kind, "", `the server answered with status ${status}`);
    }
    const kind = KINDS.get(status) ?? error.kind;
    return new ApiError(kind, String(error.reason ?? ""), String(error.message ?? ""), error.retry_after_ms);
  }
}

export class Api {
  /** @type {import("./servers.js").Servers} */
  #servers;
  #seen = "0";
  /** @type {string | null} */
  token = null;
  /** Counts the people who were here: a call of one is never sent for the next. */
  #visits = 0;
  /** The present token is being traded in, for another one or for none. @type {Promise<unknown> | null} */
  #trade = null;
  /** Called when a server does not know the token (any more). */
  onDenied = () => {};

  /** @param {import("./servers.js").Servers} servers */
  constructor(servers) {
    this.#servers = servers;
  }

  /** The highest seq seen, in answers and in the stream. */
  get seen() {
    return this.#seen;
  }

  /** @param {unknown} value */
  note(value) {
    if (seq.isSeq(value)) this.#seen = seq.max(this.#seen, value);
  }

  /** Forgets what was seen: for another user, or when the data was replaced. */
  forget() {
    this.#seen = "0";
    this.token = null;
    this.#visits += 1;
  }

  /** @returns {Ticket} */
  ticket() {
    return { request_id: uuid(), seen: this.#seen };
  }

  /** @param {string} username @param {string} [password] without: as one of a name that has none */
  login(username, password = "") {
    const body = password === "" ? { username } : { username, password };
    return this.#call({ method: "POST", path: "/login", body, door: true });
  }

  /**
   * Makes a name one's own. Safe to repeat with the same password.
   * @param {string} username @param {string} password @param {string} invitation may be empty
   */
  signUp(username, password, invitation) {
    return this.#call({ method: "POST", path: "/signup", body: { username, password, invitation }, door: true });
  }

  /**
   * Changes the password. Every token ends with it; from here on the new one is used.
   * @param {string} old_password @param {string} new_password
   */
  async changePassword(old_password, new_password) {
    const visit = this.#visits;
    const session = await this.#traded("/password", { old_password, new_password });
    if (visit === this.#visits) this.token = session.token;
    return session;
  }

  /** Ends every token of the user. */
  logOutAll() {
    return this.#traded("/logout_all", {});
  }

  async #traded(path, body) {
    const trade = this.#call({ method: "POST", path, body, door: true });
    this.#trade = trade;
    try {
      return await trade;
    } finally {
      this.#trade = null;
    }
  }

  /**
   * Whether there is a newer token than `used`, which was refused. While its owner is about to end
   * it, what others hear of its end has to wait for what comes of that.
   * @param {string | null} used
   */
  async renewed(used) {
    if (this.#trade) {
      await this.#trade.catch(() => {});
      // What waits for the same answer, to act upon it, comes first.
      await sleep(0);
    }
    return this.token !== null && this.token !== used;
  }

  /**
   * Reads from a state that includes all that was seen.
   * @param {string} path
   * @param {Record<string, string | number | undefined>} [query]
   * @param {AbortSignal} [signal]
   */
  read(path, query = {}, signal) {
    const at_least = this.#seen === "0" ? undefined : this.#seen;
    return this.#call({ method: "GET", path, query: { ...query, at_least }, signal });
  }

  /**
   * Writes once, however often it has to be sent.
   * @param {string} path
   * @param {object} body
   * @param {Ticket} [ticket]
   * @param {boolean} [unsure] the ticket is that of an error: it may have been used
   */
  write(path, body, ticket = this.ticket(), unsure = false) {
    return this.#call({ method: "POST", path, body, ticket, unsure });
  }

  /** @param {string} id @param {Ticket} [ticket] @param {boolean} [unsure] */
  deletePost(id, ticket = this.ticket(), unsure = false) {
    return this.#call({ method: "DELETE", path: `/posts/${id}`, ticket, unsure });
  }

  /** Asks a server for the list of all; what is known stays when none answers. */
  async refreshServers() {
    try {
      const { answer, server } = await this.#settle({ method: "GET", path: "/servers" });
      this.#servers.learn(answer, server.origin);
    } catch {
      // The list known will do until the next time.
    }
  }

  async #call(call) {
    const { answer } = await this.#settle(call);
    this.note(answer?.seq);
    this.note(answer?.post?.id);
    return answer;
  }

  /**
   * Tries until there is an outcome, a refusal that stays, or no time left.
   * @param {Call} call
   */
  async #settle(call) {
    const end = performance.now() + DEADLINE_MS;
    let { ticket, unsure = false } = call;
    let failed = 0;
    let lost = 0;
    let faults = 0;
    let repeated = false;
    const visit = this.#visits;
    for (;;) {
      if (visit !== this.#visits) {
        const error = new ApiError("denied", "TOKEN_MISSING", "Logged out meanwhile.");
        throw unsure ? unknown(error, ticket) : error;
      }
      const left = end - performance.now();
      // A call that was lost twice gets longer and longer: then it is the work that is slow.
      const limit = Math.min(TRY_MS * 2 ** Math.min(Math.max(lost - 1, 0), 4), Math.max(left, 50));
      const server = this.#servers.pick();
      const { token } = this;
      let error;
      try {
        const answer = await this.#try(server, call, ticket, limit);
        this.#servers.works(server);
        return { answer, server };
      } catch (caught) {
        if (!(caught instanceof ApiError)) throw caught;
        error = caught;
      }
      failed += 1;

      let wait = 0;
      if (error.reason === "REQUEST_EXPIRED" && ticket) {
        if (unsure) throw unknown(error, ticket);
        // The ticket was refused unused, for its `seen` is too old: learn a newer seq, draw anew.
        wait = failed <= 2 ? 0 : backoff(failed);
        await this.read("/home", { limit: 1 });
        ticket = this.ticket();
      } else {
        if (error.kind === "lost") lost += 1;
        if (error.kind === "lost" || error.kind === "unknown") repeated = true;
        error.repeated = repeated;
        const limited = error.reason === "RATE_LIMITED";
        if (ticket && (error.kind === "lost" || error.kind === "unknown")) unsure = true;
        const fault = error.kind === "internal" || error.kind === "damaged";
        if (fault) faults += 1;
        const passing = error.kind === "lost" || error.kind === "unknown" || error.kind === "unavailable" ||
          // Who types a password is told to wait, and not kept waiting.
          (error.kind === "exhausted" && error.retryAfterMs !== undefined && !(limited && call.door)) ||
          // What one replica finds damaged may be sound in another.
          (fault && faults < FAULTS_MAX);
        if (error.kind === "denied" && !call.door && visit === this.#visits) {
          if (await this.renewed(token)) continue;
          if (visit === this.#visits) this.onDenied(error);
        }
        if (!passing) {
          // These are no outcomes of a write: an earlier try may still have been done.
          throw unsure && (fault || error.kind === "denied") ? unknown(error, ticket) : error;
        }
        // What is too much for one user is not the fault of the server.
        if (!limited) this.#servers.shun(server);
        const pause = error.retryAfterMs ?? 0;
        const full = error.kind === "exhausted";
        wait = this.#servers.spare && !full ? 0 : Math.max(backoff(failed), pause);
      }
      if (performance.now() + wait >= end) {
        if (unsure) throw unknown(error, ticket);
        if (error.kind === "exhausted") throw error;
        const none = new ApiError("unavailable", error.reason || "NO_SERVER", "No server answers.");
        none.repeated = repeated;
        throw none;
      }
      await sleep(wait, call.signal);
    }
  }

  /**
   * One try at one server. Throws an [`ApiError`] of kind `lost` when there is no answer, and what
   * `call.signal` was aborted with.
   */
  async #try(server, call, ticket, limit) {
    const url = new URL(`/api/v1${call.path}`, server.origin);
    const query = { ...call.query, ...(call.method === "DELETE" ? ticket : {}) };
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    const headers = {};
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    let body;
    if (call.method === "POST") {
      headers["content-type"] = "application/json";
      body = JSON.stringify({ ...call.body, ...ticket });
    }
    const stop = stopper(limit, call.signal);
    try {
      const response = await fetch(url, {
        method: call.method, headers, body, signal: stop.signal, ...FETCH,
      });
      const text = await response.text();
      if (!response.ok) throw ApiError.of(response.status, parsed(text));
      const answer = text === "" ? {} : parsed(text);
      if (answer === undefined) throw new ApiError("lost", "", "the answer was cut off");
      return answer;
    } catch (error) {
      if (error instanceof ApiError) throw error;
      call.signal?.throwIfAborted();
      throw new ApiError("lost", "", `${server.origin} does not answer`);
    } finally {
      stop.done();
    }
  }
}

/** What every request has in common: nothing but our own header goes along, and no cache helps. */
export const FETCH = { mode: "cors", credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" };

/**
 * A signal that is aborted after `limit` ms or with `signal`; `done()` lets go of both.
 * @param {number} limit
 * @param {AbortSignal} [signal]
 */
export function stopper(limit, signal) {
  const controller = new AbortController();
  const abort = () => controller.abort(signal?.reason);
  const timer = setTimeout(abort, limit);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  return {
    signal: controller.signal,
    abort,
    /** The time limit is kept, or does not hold any more. */
    inTime: () => clearTimeout(timer),
    done: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    },
  };
}

/** Doubling, with jitter downwards by up to a half, so that pages do not come back in step. */
export function backoff(failed, most = BACKOFF_MAX_MS) {
  const doubled = BACKOFF_FIRST_MS * 2 ** Math.min(failed - 1, 10);
  return Math.min(doubled, most) * (0.5 + Math.random() / 2);
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal] ends it early, by throwing
 */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function unknown(last, ticket) {
  const reason = last.reason === "REQUEST_EXPIRED" ? last.reason : "OUTCOME_UNKNOWN";
  const error = new ApiError("unknown", reason, "No server could tell whether it was done.");
  error.ticket = ticket;
  return error;
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A random UUID, also on a page that is not a secure context (plain http on another host). */
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
