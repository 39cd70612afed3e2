// A person in Open WebUI: a browser of their own, what they do in it, and what they see.
import path from 'node:path';

export const MODEL = 'claude-sonnet-5-5';
/// A model that the administrator has set up without the tools of Open WebUI.
export const WITHOUT_TOOLS = 'claude-haiku-5-5';
/// Longest wait for anything, in milliseconds: a page of Open WebUI takes a minute on a machine that is very busy.
const WAIT = 180_000;

/// Reads until there is something, and returns it.
export const until = async (what, read) => {
  for (const end = Date.now() + WAIT; Date.now() < end;) {
    const found = await read();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`it did not come: ${what}`);
};

/// The text of an answer.
export const text = message => message.content || (message.output ?? [])
  .filter(item => item.type === 'message').flatMap(item => item.content ?? []).map(part => part.text ?? '').join('');

/// The status lines above an answer, without those of Open WebUI itself.
export const lines = message => (message.statusHistory ?? [])
  .filter(status => !status.action && !status.hidden).map(status => status.description);

/// Open WebUI's API, with the rights of a token.
export const apiOf = (base, token) => async (where, body) => {
  const headers = { 'content-type': 'application/json', ...token && { authorization: `Bearer ${token}` } };
  const options = body ? { method: 'POST', headers, body: JSON.stringify(body) } : { headers };
  const response = await fetch(base + where, options);
  const isLines = response.headers.get('content-type')?.includes('ndjson');
  return isLines ? (await response.text()).trim().split('\n').map(line => JSON.parse(line)) : response.json();
};

/// Opens the browser of a person with an account.
export const signIn = async (browser, base, shots, { id, token }) => {
  const api = apiOf(base, token);
  await api('/api/v1/users/user/settings/update', { ui: { showChangelog: false } });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await context.addInitScript(token => { localStorage.token = token; }, token);
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);

  const last = selector => page.locator(selector).last();
  const { data: models } = await api('/api/models');
  const open = async (where = `/?models=${MODEL}`) => {
    const chosen = models.find(({ id }) => id === new URL(base + where).searchParams.get('models'));
    // On a busy machine, Open WebUI may not know all models yet, and takes another one.
    await until('the model', async () => {
      await page.goto(base + where, { waitUntil: 'domcontentloaded' });
      await page.waitForSelector('#chat-input');
      const button = page.locator(`[aria-label="Selected model: ${chosen?.name}"]`).first();
      return !chosen || button.waitFor({ timeout: 5000 }).then(() => true, () => false);
    });
  };
  const chat = async () => {
    const id = /\/c\/([0-9a-f-]+)/.exec(page.url())?.[1];
    return id && { id, ...await api(`/api/v1/chats/${id}`) };
  };
  const answers = async () => {
    const messages = (await chat())?.chat?.history?.messages ?? {};
    return Object.values(messages).filter(message => message.role === 'assistant');
  };
  // Does something, and waits for the answers that it adds.
  const answered = async (act, count = 1) => {
    const before = new Set((await answers()).map(message => message.id));
    const began = Date.now();
    await act();
    const news = await until('an answer', async () => {
      const news = (await answers()).filter(message => !before.has(message.id));
      return news.length === count && news.every(message => message.done || message.error) && news;
    });
    return { ms: Date.now() - began, news, ...news[0] };
  };
  const send = async text => {
    await page.click('#chat-input');
    await page.keyboard.insertText(text);
    await page.keyboard.press('Enter');
  };
  const press = async button => {
    await last('[id^="message-"]').hover();
    await last(`[aria-label="${button}"]`).click({ force: true });
  };

  return {
    id, api, page, last, open, chat, answers, answered, send, press,
    ask: async (text, where) => {
      await open(where);
      return answered(() => send(text));
    },
    /// Asks with a file attached.
    askWith: async (file, text, where) => {
      await open(where);
      const uploaded = page.waitForResponse(response =>
        new URL(response.url()).pathname === '/api/v1/files/' && response.request().method() === 'POST');
      await page.locator('input[type=file]').first().setInputFiles(file);
      await uploaded;
      return answered(() => send(text));
    },
    regenerate: () => answered(async () => {
      await press('Regenerate');
      await page.getByText('Try Again', { exact: true }).last().click();
    }),
    /// The part of the page that shows an answer, once it shows this text.
    showing: (answer, text) => page.locator(`#message-${answer.id}`).filter({ hasText: text }).waitFor(),
    /// The tooltip with the usage of the last answer.
    tooltip: async () => {
      await last('[id^="info-"]').hover({ force: true });
      return last('.tippy-content').filter({ hasText: 'total_tokens' }).innerText();
    },
    shot: name => page.screenshot({ path: path.join(shots, `${name}.png`) }),
    close: () => context.close(),
  };
};
