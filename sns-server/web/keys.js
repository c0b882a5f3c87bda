/** Single-key shortcuts, and the dialog that lists them. */

/** After `g`, the second key must come within this time. */
const CHORD_MS = 1_500;
const STORED = "sns.keys";

/**
 * @param {Record<string, () => void>} actions by key; a chord is written like `g h`
 */
export function installKeys(actions) {
  const dialog = document.getElementById("keys");
  const on = document.getElementById("keys-on");
  on.checked = stored() !== "off";
  on.addEventListener("change", () => store(on.checked ? "on" : "off"));
  document.getElementById("keys-close").addEventListener("click", () => dialog.close());
  document.getElementById("show-keys").addEventListener("click", () => dialog.showModal());

  let chordUntil = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!on.checked || document.querySelector("dialog[open]") || typing(event.target)) return;
    const key = performance.now() < chordUntil ? `g ${event.key}` : event.key;
    chordUntil = key === "g" ? performance.now() + CHORD_MS : 0;
    const action = key === "?" ? () => dialog.showModal() : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function typing(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}

function store(value) {
  try {
    localStorage.setItem(STORED, value);
  } catch {
    // Then it holds for this page only.
  }
}
