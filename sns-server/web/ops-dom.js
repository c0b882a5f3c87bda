// Small helpers over the DOM. Everything a server says goes through `text` or `attr`: never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with its classes and children; `spec` is "tag.class.class". */
export function el(spec, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length > 0) node.className = classes.join(" ");
  node.append(...children);
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets the text only if it differs, and says whether it did: a page that polls must not repaint what stayed. */
export function text(node, value) {
  if (node.textContent === value) return false;
  node.textContent = value;
  return true;
}

export function attr(node, name, value) {
  const wanted = String(value);
  if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** Does the reader want things to keep still? */
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Draws the eye to a value that changed, for a moment. */
export function flash(node) {
  if (calm.matches || document.hidden) return;
  node.animate({ backgroundColor: ["var(--flash)", "transparent"] }, { duration: 1600, easing: "ease-out" });
}

/** Puts `children` into `parent` in this order, moving only those that are elsewhere. */
export function arrange(parent, children) {
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}
