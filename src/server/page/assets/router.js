// Addresses within the page: `#/calls?since=7d&model=…`. All that a view shows follows from its address, so that it can be
// sent to somebody. The part behind `#` reaches no server and no log.

/** The path and the parameters of an address. */
export function parse(hash) {
  const text = hash.replace(/^#\/?/, '');
  const [path] = text.split('?', 1);
  return { path, params: new URLSearchParams(text.slice(path.length + 1)) };
}

/** The address of a view. Parameters that are undefined are left out. */
export function href(path, params = {}) {
  const entries = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const query = new URLSearchParams(entries.filter(([, value]) => value !== undefined && value !== null));
  return `#/${path}${query.size ? `?${query}` : ''}`;
}

/** The parameters with some changed; one that is undefined is taken away. */
export function changed(params, changes) {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) next.delete(name);
    else next.set(name, value);
  }
  return next;
}
