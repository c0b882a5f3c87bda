// What servers say is foreign: every field is checked for its type and cut to a length before anything keeps it.
// Nothing behind this module meets a surprise, and nothing grows because a server talks too much.

import { originOf } from "./origin.js";

const TEXT_MAX = 400;
const ROUTERS_MAX = 16;
const STATES = new Set(["serving", "starting", "draining", "hung", "restarting", "failed", "stopped"]);

/** What the plots know of a second. Null: nothing happened, or not told. */
const SAMPLE_FIELDS = [
  "posts", "reads", "errors", "streams", "lag", "queued",
  "write_p50_us", "write_p99_us", "read_p50_us", "read_p99_us",
  "sync_p50_us", "sync_p99_us", "visible_p50_us", "visible_p99_us", "rss_bytes",
];
export const MARKS = ["last_heard", "died", "noticed", "restarted", "serving", "caught_up"];

const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const string = (value) => (typeof value === "string" ? value.slice(0, TEXT_MAX) : "");
const decimal = (value) => (typeof value === "string" && /^\d{1,20}$/.test(value) ? value : null);
const object = (value) => (value !== null && typeof value === "object" ? value : {});
const list = (value) => (Array.isArray(value) ? value : []);

function facts(json) {
  const from = object(json);
  return {
    name: string(from.name),
    pair: string(from.pair),
    role: string(from.role),
    address: string(from.address),
    http: string(from.http),
    pid: number(from.pid),
    state: STATES.has(from.state) ? from.state : "unknown",
    applied: decimal(from.applied),
    lag: number(from.lag),
    streams: number(from.streams),
    restarts: number(from.restarts),
    digest: string(from.digest),
    reason: string(from.reason),
    version: string(from.version),
    started_at_ms: number(from.started_at_ms),
  };
}

function sample(json) {
  const from = object(json);
  const read = { t: number(from.t) };
  for (const field of SAMPLE_FIELDS) read[field] = number(from[field]);
  return read;
}

function death(json) {
  const from = object(json);
  const said = object(from.marks);
  const marks = {};
  for (const mark of MARKS) marks[mark] = number(said[mark]);
  marks.died ??= 0;
  return {
    id: string(from.id),
    node: string(from.node),
    pair: string(from.pair),
    told_by: string(from.told_by),
    why: string(from.why),
    hung: from.hung === true,
    old_pid: number(from.old_pid),
    new_pid: number(from.new_pid),
    at_ms: number(from.at_ms),
    marks,
  };
}

/** An answer of /api/v1/ops, or null if it is none. */
export function readOps(json, samplesMax) {
  const from = object(json);
  const now_ms = number(from.now_ms);
  const server = facts(from.server);
  if (now_ms === null || server.name === "") return null;
  const log = object(from.log);
  const disk = object(from.disk);
  const own = object(from.process);
  return {
    now_ms,
    server,
    partner: from.partner ? facts(from.partner) : null,
    routers: list(from.routers).slice(0, ROUTERS_MAX)
      .map((router) => ({ url: string(object(router).url), connected: object(router).connected === true })),
    log: { kind: string(log.kind), bytes: number(log.bytes) },
    disk: { free_bytes: number(disk.free_bytes), total_bytes: number(disk.total_bytes) },
    process: { rss_bytes: number(own.rss_bytes), cpu_seconds: number(own.cpu_seconds), open_fds: number(own.open_fds) },
    samples: list(from.samples).slice(-samplesMax).map(sample).filter((one) => one.t !== null),
    deaths: list(from.deaths).slice(-32).map(death).filter((one) => one.id !== "" && one.at_ms !== null),
  };
}

/** Why a call was refused, or null if the answer does not say. */
export function readReason(json) {
  return string(object(object(json).error).reason) || null;
}

/**
 * An answer of /api/v1/servers that came from the origin `asked`: `{self, servers}`, without servers that have no
 * address this page can ask. Who answered can be asked.
 */
export function readServers(json, serversMax, asked) {
  const from = object(json);
  const self = string(from.self);
  const servers = list(from.servers).slice(0, serversMax)
    .map((one) => object(one))
    .map((one) => ({ name: string(one.name), pair: string(one.pair), role: string(one.role), http: originOf(one.http) }))
    .map((one) => (one.name === self ? { ...one, http: one.http ?? asked } : one))
    .filter((one) => one.name !== "" && one.http !== null);
  return servers.length > 0 ? { self, servers } : null;
}
