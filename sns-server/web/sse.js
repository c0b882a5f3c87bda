/** Reads the bytes of a `text/event-stream`, however they are cut. */

/** The longest event in characters; a post of 4,000 bytes in JSON is far below. */
const EVENT_MAX = 1 << 20;

export class EventParser {
  #emit;
  /** The line that is not complete yet. */
  #rest = "";
  /** The last chunk ended with CR: an LF at the start of the next one belongs to it. */
  #afterCr = false;
  #event = "";
  #data = "";
  #id = "";

  /** @param {(event: {type: string, data: string, id: string}) => void} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /** @param {string} chunk decoded text; throws when an event exceeds the bound */
  push(chunk) {
    if (chunk === "") return;
    if (this.#afterCr && chunk[0] === "\n") chunk = chunk.slice(1);
    this.#afterCr = chunk.endsWith("\r");
    const lines = (this.#rest + chunk).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
    if (this.#rest.length + this.#data.length > EVENT_MAX) throw new Error("an event without end");
  }

  #line(line) {
    if (line === "") {
      if (this.#data !== "") {
        this.#emit({ type: this.#event || "message", data: this.#data.slice(0, -1), id: this.#id });
      }
      this.#event = "";
      this.#data = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") this.#data += `${value}\n`;
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }
}
