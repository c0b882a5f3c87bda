/** The form that lets people in: a name alone, or with a password; or a new name. */

import { ApiError } from "./api.js";
import { later, worded } from "./notices.js";
import { Secret, passwordFault } from "./secret.js";

const NAME_RULE = "A name has letters a–z, digits and _, at most 32.";

/**
 * @typedef {object} Door
 * @property {import("./api.js").Api} api
 * @property {import("./servers.js").Servers} servers
 * @property {(session: import("./session.js").Session) => void} entered
 */

export class Login {
  /** @type {Door} */
  #door;
  #part;
  #name;
  #password;
  #invitation;
  #isNew;
  #error;
  #submit;
  /** Where names need no password: this one has one. */
  #secured = false;

  /**
   * @param {Door} door
   * @param {string} name of who was here until now
   * @param {string} message why they are here again
   */
  constructor(door, name, message) {
    this.#door = door;
    this.root = document.getElementById("login-template").content.cloneNode(true).firstElementChild;
    this.#part = (id) => this.root.querySelector(`#${id}`);
    this.#name = this.#part("username");
    this.#password = new Secret(this.#part("password"), this.#part("password-show"));
    this.#invitation = this.#part("invitation");
    this.#isNew = this.#part("new-name");
    this.#error = this.#part("login-error");
    this.#submit = this.#part("login-submit");
    this.#name.value = name;
    this.#error.textContent = message;
    this.#part("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#submit.disabled) this.#send();
    });
    this.#name.addEventListener("input", () => this.#secure(false));
    this.#isNew.addEventListener("change", () => {
      this.#error.textContent = "";
      this.draw();
    });
    this.draw();
  }

  focus() {
    const known = this.#name.value !== "" && !this.#password.field.disabled;
    (known ? this.#password.field : this.#name).focus();
  }

  get #accounts() {
    return this.#door.servers.auth === "accounts";
  }

  /** Shows what is asked for here; again when a server said how names are had. */
  draw() {
    const isNew = this.#accounts && this.#isNew.checked;
    const withPassword = this.#accounts || this.#secured;
    this.#part("new-part").hidden = !this.#accounts;
    this.#part("password-part").hidden = !withPassword;
    this.#part("password-rule").hidden = !isNew;
    this.#part("invitation-part").hidden = !isNew;
    this.#part("username-rule").hidden = this.#accounts && !isNew;
    // What is not shown is neither asked for nor sent.
    this.#password.field.disabled = !withPassword;
    this.#password.field.autocomplete = isNew ? "new-password" : "current-password";
    this.#invitation.disabled = !isNew;
    if (!isNew) this.#need(false);
    this.#part("login-title").textContent = isNew ? "Make a name" : "Log in to SNS";
    this.#submit.textContent = isNew ? "Make the name" : "Log in";
    this.#part("login-lead").textContent = this.#accounts
      ? isNew ? "A name that nobody has, and a password for it." : "With your name and your password."
      : "Pick a name. If nobody has it yet, it is yours.";
  }

  /** @param {boolean} secured this name has a password, though names need none here */
  #secure(secured) {
    if (this.#accounts || this.#secured === secured) return;
    this.#secured = secured;
    this.#password.clear();
    this.draw();
  }

  /** @param {boolean} needed the invitation is */
  #need(needed) {
    this.#invitation.required = needed;
    this.#part("invitation-rule").textContent = needed ? "Needed here." : "If you were given one.";
  }

  async #send() {
    const name = this.#name.value.trim();
    const isNew = this.#accounts && this.#isNew.checked;
    const password = this.#password.field.disabled ? "" : this.#password.field.value;
    const fault = isNew ? passwordFault(password, name) : "";
    if (fault !== "") {
      this.#error.textContent = fault;
      this.#password.field.focus();
      return;
    }
    this.#submit.disabled = true;
    this.#error.textContent = "";
    const { api, entered } = this.#door;
    try {
      const sent = isNew ? api.signUp(name, password, this.#invitation.value.trim()) : api.login(name, password);
      this.#password.clear();
      const session = await sent;
      entered({ token: session.token, username: session.username, secured: password !== "" });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#submit.disabled = false;
      this.#refused(error, isNew, password === "");
    }
  }

  /** @param {ApiError} error @param {boolean} isNew @param {boolean} blank no password was sent */
  #refused(error, isNew, blank) {
    const bare = !this.#accounts && blank && error.reason === "CREDENTIALS_REJECTED";
    if (bare) this.#secure(true);
    if (error.reason === "PASSWORD_UNSUPPORTED") this.#secure(false);
    if (error.reason === "INVITATION_NEEDED") this.#need(true);
    this.#error.textContent = bare ? "This name has a password." : isNew ? wordedNew(error) : wordedOld(error);
    const invited = ["INVITATION_NEEDED", "TOKEN_INVALID", "SCOPE_MISSING"].includes(error.reason);
    const named = ["USERNAME_INVALID", "USERNAME_TAKEN"].includes(error.reason);
    if (isNew && invited) this.#invitation.focus();
    else if (named || this.#password.field.disabled) this.#name.focus();
    else this.#password.field.focus();
  }
}

/** Of a log-in: nothing tells whether there is such a name. @param {ApiError} error */
function wordedOld(error) {
  switch (error.reason) {
    case "USERNAME_INVALID": return NAME_RULE;
    case "CREDENTIALS_REJECTED": return "The name and the password do not belong together.";
    case "PASSWORD_UNSUPPORTED": return "This name has no password: log in without one.";
    case "RATE_LIMITED": return `Too many tries. ${later(error.retryAfterMs)}`;
    default: return worded(error);
  }
}

/** @param {ApiError} error */
function wordedNew(error) {
  switch (error.reason) {
    case "USERNAME_TAKEN": return "This name is taken. Choose another one, or bring an invitation for it.";
    case "INVITATION_NEEDED": return "Names are given by invitation here: ask the operator for one.";
    case "TOKEN_INVALID": return "This invitation is not good here, or has expired: ask for another one.";
    case "SCOPE_MISSING": return "This is no invitation for this name.";
    case "PASSWORD_INVALID": return "A password has 8 to 256 bytes, and is not the name.";
    default:
      if (!error.repeated || error.kind !== "unavailable") return wordedOld(error);
      return "No server answers. The name may be yours already: try again with the same password.";
  }
}
