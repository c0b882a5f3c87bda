/** Who is logged in, in this tab: two tabs can be two people. */

const KEY = "sns.session";

/**
 * What is kept: never a password.
 * @typedef {{token: string, username: string, secured?: boolean}} Session `secured`: it was had with a password
 */

/** @returns {Session | null} */
export function loadSession() {
  try {
    const session = JSON.parse(sessionStorage.getItem(KEY));
    return typeof session?.token === "string" && typeof session?.username === "string" ? session : null;
  } catch {
    return null;
  }
}

/** @param {Session | null} session */
export function storeSession(session) {
  try {
    if (session) sessionStorage.setItem(KEY, JSON.stringify(session));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without storage a login lasts as long as the page.
  }
}
