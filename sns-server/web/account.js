/** The menu at one's name: another password, and an end to every log-in. */

import { ApiError } from "./api.js";
import { later, notice, worded } from "./notices.js";
import { Secret, passwordFault } from "./secret.js";

const byId = (id) => document.getElementById(id);

/**
 * @typedef {object} Owner
 * @property {() => string} name who is logged in
 * @property {(token: string) => void} renewed the password is another one, and so is the token
 * @property {(message: string, name?: string) => void} ended every log-in has ended, this one too;
 *   with a name, it is to log in again
 */

export class Account {
  #api;
  /** @type {Owner} */
  #owner;
  #menu = byId("account-menu");
  #opener = byId("account-open");
  #change = byId("change-password");
  #end = byId("end-all");
  #old = new Secret(byId("old-password"), byId("old-password-show"));
  #new = new Secret(byId("fresh-password"), byId("fresh-password-show"));

  /** @param {import("./api.js").Api} api @param {Owner} owner */
  constructor(api, owner) {
    this.#api = api;
    this.#owner = owner;
    this.#opener.addEventListener("click", () => this.#show(this.#menu.hidden));
    const root = this.#opener.parentElement;
    root.addEventListener("keydown", (event) => this.#pressed(event));
    root.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !root.contains(event.relatedTarget)) this.#show(false);
    });
    document.addEventListener("pointerdown", (event) => {
      if (!root.contains(event.target)) this.#show(false);
    });
    byId("change-open").addEventListener("click", () => this.#open(this.#change));
    byId("end-open").addEventListener("click", () => this.#open(this.#end));
    for (const dialog of [this.#change, this.#end]) {
      dialog.addEventListener("close", () => this.#closed(dialog));
      dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
    }
    byId("change-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#changePassword();
    });
    byId("end-submit").addEventListener("click", () => this.#endAll());
  }

  /** Whether this log-in has a password behind it. @param {boolean} secured */
  offer(secured) {
    this.#opener.hidden = !secured;
    this.#opener.setAttribute("aria-label", `Account of ${this.#owner.name()}`);
    if (!secured) this.#show(false);
  }

  /** Nobody is logged in any more. */
  close() {
    this.#show(false);
    this.#change.close();
    this.#end.close();
  }

  #show(open) {
    this.#menu.hidden = !open;
    this.#opener.setAttribute("aria-expanded", String(open));
  }

  #pressed(event) {
    if (this.#menu.hidden) return;
    if (event.key === "Escape") {
      this.#show(false);
      this.#opener.focus();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const items = [...this.#menu.querySelectorAll("button")];
    const at = items.indexOf(document.activeElement);
    items[(at < 0 && step < 0 ? -1 : at + step + items.length) % items.length]?.focus();
  }

  #open(dialog) {
    this.#show(false);
    byId("change-name").value = this.#owner.name();
    byId("end-name").textContent = this.#owner.name();
    dialog.showModal();
  }

  /** Whether by Escape, by its button or because it is done: what was typed goes. */
  #closed(dialog) {
    this.#old.clear();
    this.#new.clear();
    for (const error of dialog.querySelectorAll("[role=alert]")) error.textContent = "";
    // The button in the menu, which the browser would go back to, is hidden.
    if (!this.#opener.hidden) this.#opener.focus();
  }

  async #changePassword() {
    const submit = byId("change-submit");
    const error = byId("change-error");
    const [before, after] = [this.#old.field.value, this.#new.field.value];
    const fault = passwordFault(after, this.#owner.name());
    if (submit.disabled) return;
    error.textContent = fault;
    if (fault !== "") {
      this.#new.field.focus();
      return;
    }
    submit.disabled = true;
    const name = this.#owner.name();
    try {
      const sent = this.#api.changePassword(before, after);
      this.#old.clear();
      this.#new.clear();
      const { token } = await sent;
      if (this.#owner.name() !== name) return;
      this.#owner.renewed(token);
      this.#change.close();
      notice("The password is changed. Every other log-in has ended.");
    } catch (caught) {
      if (!(caught instanceof ApiError)) throw caught;
      if (this.#owner.name() !== name) return;
      if (hasEnded(caught)) {
        // Also of a change that was made and whose answer was lost: the next try finds the token void.
        this.#owner.ended(MAYBE_CHANGED, name);
        return;
      }
      error.textContent = wordedChange(caught);
      (caught.reason === "PASSWORD_INVALID" ? this.#new : this.#old).field.focus();
    } finally {
      submit.disabled = false;
    }
  }

  async #endAll() {
    const submit = byId("end-submit");
    if (submit.disabled) return;
    submit.disabled = true;
    const name = this.#owner.name();
    const done = "You are logged out everywhere.";
    byId("end-error").textContent = "";
    try {
      await this.#api.logOutAll();
      if (this.#owner.name() === name) this.#owner.ended(done);
    } catch (caught) {
      if (!(caught instanceof ApiError)) throw caught;
      if (this.#owner.name() !== name) return;
      if (hasEnded(caught)) this.#owner.ended(caught.repeated ? done : ENDED, caught.repeated ? "" : name);
      else byId("end-error").textContent = worded(caught);
    } finally {
      submit.disabled = false;
    }
  }
}

const ENDED = "Your log-in has ended. Please log in again.";
const MAYBE_CHANGED = "Your log-in has ended. Log in with the new password, or else with the old one.";

/** @param {ApiError} error */
function hasEnded(error) {
  return error.reason === "TOKEN_INVALID" || error.reason === "TOKEN_MISSING";
}

/** @param {ApiError} error */
function wordedChange(error) {
  switch (error.reason) {
    case "CREDENTIALS_REJECTED": return "The old password is not this one.";
    case "PASSWORD_INVALID": return "A password has 8 to 256 bytes, and is not the name.";
    case "SCOPE_MISSING": return "This log-in may not change the password. Log in again, with it.";
    case "RATE_LIMITED": return `Too many tries. ${later(error.retryAfterMs)}`;
    default:
      if (!error.repeated) return worded(error);
      return "No server could tell whether it was changed. Log in with the new one, or else with the old one.";
  }
}
