// Signing in.

import { post } from '../api.js';
import { el } from '../dom.js';

const HINTS = {
  admin: 'The admin key that Reprise was started with (REPRISE_ADMIN_KEY).',
  client: 'A key that clients send to Reprise (REPRISE_API_KEY). With an admin key, the page opens from other machines, too.',
};

export function show({ key, onSignedIn }) {
  const input = el('input', {
    id: 'key', type: 'password', name: 'key', required: true, autocomplete: 'current-password',
    'aria-describedby': 'key-hint problem',
  });
  const problem = el('p', { id: 'problem', class: 'problem', role: 'alert' });
  const button = el('button', { type: 'submit', class: 'primary' }, 'Sign in');
  const submit = async (event) => {
    event.preventDefault();
    problem.textContent = '';
    button.disabled = true;
    try {
      await post('login', { key: input.value });
      await onSignedIn();
    } catch (error) {
      problem.textContent = error.code === 'invalid_page_key' ? 'This key is wrong.' : error.message;
      input.setAttribute('aria-invalid', 'true');
      input.select();
      input.focus();
    } finally {
      button.disabled = false;
    }
  };
  return el(
    'main',
    { class: 'alone' },
    el('h1', {}, 'Sign in to Reprise'),
    el(
      'form',
      { class: 'login', on: { submit } },
      el('label', { for: 'key' }, key === 'admin' ? 'Admin key' : 'Client key'),
      input,
      el('p', { id: 'key-hint', class: 'hint' }, HINTS[key]),
      problem,
      button,
    ),
  );
}
