/** A field for a password: seen only while its writer wants to, and empty after use. */

/** The server's bounds, in bytes. */
const BYTES_MIN = 8;
const BYTES_MAX = 256;

export class Secret {
  #show;

  /**
   * @param {HTMLInputElement} field
   * @param {HTMLButtonElement} show shows what is in it, and hides it again
   */
  constructor(field, show) {
    this.field = field;
    this.#show = show;
    show.addEventListener("click", () => this.#reveal(field.type === "password"));
  }

  /** Forgets what was typed. */
  clear() {
    this.field.value = "";
    this.#reveal(false);
  }

  /** @param {boolean} seen */
  #reveal(seen) {
    this.field.type = seen ? "text" : "password";
    this.#show.setAttribute("aria-pressed", String(seen));
    this.#show.textContent = seen ? "Hide" : "Show";
  }
}

/**
 * Why a new password would be refused; empty when it would not. The server has the last word: this
 * spares typing it again.
 * @param {string} password
 * @param {string} name
 */
export function passwordFault(password, name) {
  const bytes = new TextEncoder().encode(password).length;
  if (bytes < BYTES_MIN) return "A password has at least 8 characters.";
  if (bytes > BYTES_MAX) return "This password is too long: 256 bytes at most.";
  return password.toLowerCase() === name.toLowerCase() ? "A password that is the name is none." : "";
}
