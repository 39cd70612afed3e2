// Requests to this server, and errors as people read them.

/** An answer that is an error. */
export class RequestError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, credentials: 'same-origin', redirect: 'error' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new RequestError(0, 'unreachable', 'Reprise does not answer. Is it running?');
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  let told = {};
  try {
    told = (await response.json()).error ?? {};
  } catch {
    // A proxy has answered.
  }
  const message = told.message ?? `The server answered with status ${response.status}.`;
  throw new RequestError(response.status, told.code, message);
}

/** The JSON at a path below `/page/`. Parameters that are undefined are left out. */
export function get(path, params = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined));
  return send(`/page/${path}${query.size ? `?${query}` : ''}`, { signal });
}

/** Sends JSON to a path below `/page/`. */
export function post(path, body = {}) {
  const headers = { 'content-type': 'application/json' };
  return send(`/page/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
}
