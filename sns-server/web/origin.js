/** Addresses of servers, as the list of servers has them: `host:port`, or a whole URL. */

/**
 * The origin to ask, e.g. `https://10.0.0.5:7409`; null when it is none that `page` may ask. What
 * comes without a scheme has that of the page. A page that came over TLS asks nobody without it:
 * a token would go over the wire for everybody to read.
 * @param {unknown} address
 * @param {string} [page] the origin of the page
 * @returns {string | null}
 */
export function originOf(address, page = location.origin) {
  if (typeof address !== "string" || address === "") return null;
  const scheme = page.slice(0, page.indexOf(":"));
  const whole = address.includes("://") ? address : `${scheme}://${address}`;
  try {
    const url = new URL(whole);
    if (url.protocol !== "https:" && (url.protocol !== "http:" || scheme === "https")) return null;
    return url.origin;
  } catch {
    return null;
  }
}
