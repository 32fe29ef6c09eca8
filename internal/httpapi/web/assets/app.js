// The first page: a history on one side, what comes next on the other.
import {ask, element, keepKey, showProblem} from './api.js';
import {combobox} from './combobox.js';
import {timeline} from './timeline.js';

const $ = (id) => document.getElementById(id);
const titles = new Map(); // item id -> title, as far as they are known

// state is the whole of what the page shows a question for. A history that was loaded for a user belongs to that user
// until it is edited; from then on it is a copy, and nothing here changes what is stored.
const state = {user: '', items: []};

let asking; // of the question under way
let loading; // of the stored history under way
let explaining; // of the explanation under way

/** The history that is asked about, as the contract has it. */
function past() {
  return state.user ? {user: state.user} : {history: state.items.map(({id, kind}) => (kind ? {item: id, kind} : {item: id}))};
}

/** Asks for a prediction and shows it; a newer question takes the place of an older one. */
async function predict() {
  asking?.abort();
  explaining?.abort();
  asking = new AbortController();
  const signal = asking.signal;
  const body = {k: Number($('k').value), ...past()};
  if ($('seen').checked) body.include_seen = true;
  const start = performance.now();
  try {
    const answer = await ask('POST', '/v1/predict', body, signal);
    const trip = performance.now() - start;
    showProblem($('problem'), null);
    showAnswer(answer, trip);
  } catch (err) {
    if (err.name === 'AbortError') return;
    showProblem($('problem'), err);
    $('summary').textContent = 'No answer.';
    $('facts').replaceChildren();
    $('answer').replaceChildren();
  }
}

const rungs = {
  'model': ['Model', 'the whole usable history went through the model'],
  'shorter-history': ['Model, shorter history', 'only the newest events went through the model'],
  'item-to-item': ['Item to item', 'what usually follows the newest known item'],
  'popular': ['Popular', 'the most frequent items of the training data'],
};

function showAnswer(answer, trip) {
  for (const item of answer.items) if (item.title) titles.set(item.id, item.title);
  const n = answer.items.length;
  $('summary').textContent = `${n} ${n === 1 ? 'item' : 'items'} in ${milliseconds(answer.took_ms)}`;
  const [rung, meaning] = rungs[answer.rung] ?? [answer.rung, ''];
  const used = answer.history;
  const fact = (name, value, extra = {}) => element('div', extra, element('dt', {}, name), element('dd', {}, value));
  $('facts').replaceChildren(
    element('dl', {},
      fact('Stands on', rung, {title: meaning, 'data-rung': answer.rung}),
      fact('History used', `${used.used} ${used.used === 1 ? 'event' : 'events'}` + (used.unknown ? `, ${used.unknown} unknown to the model` : '')),
      ...(answer.rerank ? [fact('Re-ranked by', reranks(answer.rerank), {'data-rerank': answer.rerank.rung})] : []),
      fact('Model', `${answer.model.name || 'none'} ${answer.model.version.slice(-8)}`, {title: answer.model.version}),
      fact('Round trip', milliseconds(trip))),
    ...(answer.degraded ? [element('p', {class: 'warning'}, `Not the best the service can do: ${answer.degraded}`)] : []),
    ...(answer.short ? [element('p', {class: 'note'}, `Fewer than asked for: ${answer.short}`)] : []));
  const scores = answer.items.map((item) => item.score);
  const low = Math.min(...scores), high = Math.max(...scores);
  $('answer').replaceChildren(...answer.items.map((item, i) => {
    const bar = element('span', {class: 'bar', 'aria-hidden': 'true'});
    bar.style.setProperty('--share', high > low ? 0.08 + 0.92 * (item.score - low) / (high - low) : 1);
    return element('li', {},
      element('button', {type: 'button', 'data-item': item.id, title: 'Add to the history', onclick: () => append(item)},
        element('span', {class: 'rank'}, String(i + 1)),
        element('span', {class: 'title'}, item.title ?? item.id, element('small', {}, item.title ? item.id : '')),
        element('span', {class: 'score', title: 'score, comparable within this list'}, item.score.toPrecision(4)),
        bar),
      ...(searched(answer.rerank) ? [whyButton(item, answer)] : []));
  }));
}

const searched = (rerank) => rerank && rerank.rung !== 'none' && rerank.events > 0;

function reranks({rung, events, candidates}) {
  if (rung === 'none') return 'nothing';
  return `${rung === 'whole-history' ? 'all' : 'the newest'} ${events} ${events === 1 ? 'event' : 'events'}, for ${candidates} items`;
}

/** A button that opens and closes what an item of the list rests on. */
function whyButton(item, answer) {
  const name = item.title ?? item.id;
  const button = element('button', {type: 'button', class: 'quiet why', 'aria-expanded': 'false', 'aria-label': `Why ${name}?`, 'data-why': item.id}, 'Why?');
  button.addEventListener('click', () => {
    const open = button.getAttribute('aria-expanded') === 'true';
    closeWhy();
    if (!open) explain(item, answer, button);
  });
  return button;
}

function closeWhy() {
  explaining?.abort();
  $('why')?.remove();
  for (const button of $('answer').querySelectorAll('[data-why]')) button.setAttribute('aria-expanded', 'false');
}

/** Asks for the moments of the history that one item comes from and shows them below it. */
async function explain(item, answer, button) {
  explaining = new AbortController();
  button.setAttribute('aria-expanded', 'true');
  const panel = element('section', {id: 'why', 'aria-label': `Where ${item.title ?? item.id} comes from`, 'aria-live': 'polite', onkeydown: (event) => {
    if (event.key !== 'Escape') return;
    closeWhy();
    button.focus();
  }}, element('p', {class: 'note'}, 'Looking through the history…'));
  button.closest('li').append(panel);
  try {
    const found = await ask('POST', '/v1/predict', {...past(), k: 1, candidates: [item.id], include_seen: true, explain: true}, explaining.signal);
    const moments = found.items[0]?.moments ?? [];
    for (const m of moments) m.title ??= titles.get(m.item);
    panel.replaceChildren(...(moments.length && searched(found.rerank) ?
      timeline(moments, {...found.rerank, newest: found.history.newest}) : [element('p', {class: 'note'}, 'No moment of the history stands out.')]));
  } catch (err) {
    if (err.name === 'AbortError') return;
    const box = element('div', {class: 'problem', role: 'alert'});
    showProblem(box, err);
    panel.replaceChildren(box);
  }
}

function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`;
}

/** Shows the history; focus returns to the button that was used, if it is still there. */
function showHistory(focus) {
  const n = state.items.length;
  $('history-note').textContent = state.user ?
    `Stored history of ${state.user}${n ? '' : ' (nothing yet)'}. Changing it here makes a copy; nothing is stored.` :
    n ? 'Oldest first.' : 'Empty: the answer is what is popular. Search for a title, or choose from the list.';
  $('history').replaceChildren(...state.items.map((item, i) => {
    const name = item.title ?? titles.get(item.id) ?? item.id;
    const button = (label, text, act, disabled) => element('button', {
      type: 'button', class: 'icon', 'aria-label': `${label} ${name}`, title: label, disabled, 'data-act': `${label} ${i}`, onclick: act}, text);
    return element('li', {'data-item': item.id},
      element('span', {class: 'title'}, name, item.kind && item.kind !== 'view' ? element('small', {}, item.kind) : ''),
      button('Move up', '↑', () => move(i, i - 1), i === 0),
      button('Move down', '↓', () => move(i, i + 1), i === n - 1),
      button('Remove', '×', () => edit(state.items.toSpliced(i, 1), `Remove ${Math.min(i, n - 2)}`), false));
  }));
  if (focus) {
    const target = $('history').querySelector(`[data-act="${focus}"]:not([disabled])`) ?? (n ? $('history').querySelector('button:not([disabled])') : $('search'));
    target?.focus();
  }
}

/** Replaces the history by an edited one and asks again. */
function edit(items, focus) {
  state.user = '';
  state.items = items;
  showHistory(focus);
  predict();
}

function move(from, to) {
  const items = [...state.items];
  items.splice(to, 0, ...items.splice(from, 1));
  edit(items, `${to < from ? 'Move up' : 'Move down'} ${to}`);
}

function append(item) {
  if (item.title) titles.set(item.id, item.title);
  edit([...state.items, {id: item.id, title: item.title}]);
  $('history').lastElementChild?.scrollIntoView({block: 'nearest'});
}

/** Loads what is stored of a user, newest 50, and asks for that user; a later call takes the place of an earlier one. */
async function loadUser(user) {
  loading?.abort();
  loading = new AbortController();
  try {
    const page = await ask('GET', `/v1/users/${encodeURIComponent(user)}/history?limit=50`, undefined, loading.signal);
    state.user = user;
    state.items = page.events.reverse().map((e) => ({id: e.item, kind: e.kind}));
    showHistory();
    predict();
    await nameItems();
    if (state.user === user) showHistory();
  } catch (err) {
    if (err.name !== 'AbortError') showProblem($('problem'), err);
  }
}

/** Finds the titles of the items in the history; an item without one stays known by its id. */
async function nameItems() {
  const unnamed = [...new Set(state.items.map(({id}) => id))].filter((id) => !titles.has(id));
  await Promise.all(unnamed.map(async (id) => {
    try {
      const item = await ask('GET', `/v1/items/${encodeURIComponent(id)}`);
      if (item.title) titles.set(id, item.title);
    } catch (err) {
      if (err.problem?.status === 404) titles.set(id, id); // what failed for another reason is asked for again
    }
  }));
}

keepKey($('key'));
$('key').addEventListener('change', predict);
$('k').addEventListener('change', predict);
$('seen').addEventListener('change', predict);
$('clear').addEventListener('click', () => {
  $('user').value = '';
  edit([]);
  $('search').focus();
});
$('user-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const user = $('user').value.trim();
  if (user) loadUser(user);
});
combobox($('search'), $('found'), {
  find: async (text, signal) => (await ask('GET', `/v1/items?limit=8&query=${encodeURIComponent(text)}`, undefined, signal)).items,
  show: (item) => [item.title ?? item.id, element('small', {}, [item.id, ...(item.categories ?? [])].join(' · '))],
  choose: append,
  fail: (err) => showProblem($('problem'), err),
});
showHistory();
const asked = new URLSearchParams(location.search).get('user');
if (asked) {
  $('user').value = asked;
  loadUser(asked);
} else {
  predict();
}
